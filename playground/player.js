// Sound: decodes a file into samples, draws them, plays it. Knows no server and no form.
"use strict";

const N_BARS = 160;
const RATE_HZ = 24000;

/** Return the samples of sound files, one after the other, at 24 kHz. Throws where the browser cannot decode them. */
async function decode(blobs) {
  const context = new OfflineAudioContext(1, 1, RATE_HZ);
  const pieces = await Promise.all(blobs.map(async (blob) => (await context.decodeAudioData(await blob.arrayBuffer())).getChannelData(0)));
  const samples = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  pieces.reduce((at, piece) => (samples.set(piece, at), at + piece.length), 0);
  return samples;
}

/** Return the seconds of samples and the loudest of each of N_BARS parts, 0 … 1. */
function measure(samples) {
  const peaks = new Float32Array(N_BARS);
  samples.forEach((sample, index) => {
    const bar = Math.floor((index * N_BARS) / samples.length);
    peaks[bar] = Math.max(peaks[bar], Math.abs(sample));
  });
  return { seconds: samples.length / RATE_HZ, peaks };
}

/** Return samples as a WAV file of 16 bits. */
function encodeWav(samples) {
  const head = new DataView(new ArrayBuffer(44));
  [..."RIFF____WAVEfmt ____________________data"].forEach((letter, at) => head.setUint8(at, letter.charCodeAt(0)));
  [[4, 36 + 2 * samples.length], [16, 16], [24, RATE_HZ], [28, 2 * RATE_HZ], [40, 2 * samples.length]].forEach(([at, number]) => head.setUint32(at, number, true));
  [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([at, number]) => head.setUint16(at, number, true));
  return new Blob([head, Int16Array.from(samples, (each) => Math.round(Math.max(-1, Math.min(1, each)) * 32767))], { type: "audio/wav" });
}

/** Return "1.2 / 7.5 s", or "1:02 / 3:20" where a minute is passed. */
function showTime(now, whole) {
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  return whole < 60 ? `${now.toFixed(1)} / ${whole.toFixed(1)} s` : `${clock(now)} / ${clock(whole)}`;
}

/** Plays one sound in a card: button, waveform to seek in, time. Only one plays at a time. */
class Player {
  static playing = null;

  constructor(card, blob, { seconds, peaks }) {
    Object.assign(this, { seconds, peaks, url: URL.createObjectURL(blob) });
    this.audio = new Audio(this.url);
    this.audio.preload = "metadata";
    this.button = card.querySelector(".play");
    this.wave = card.querySelector(".wave");
    this.time = card.querySelector(".time");
    this.wave.setAttribute("aria-valuemax", seconds.toFixed(2));
    this.button.addEventListener("click", () => (this.audio.paused ? this.play() : this.audio.pause()));
    for (const event of ["play", "pause", "ended", "seeked", "timeupdate"]) this.audio.addEventListener(event, () => this.show());
    this.wave.addEventListener("pointerdown", (event) => this.point(event));
    this.wave.addEventListener("pointermove", (event) => event.buttons && this.point(event));
    this.wave.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.show()).observe(this.wave);
  }

  async play() {
    if (Player.playing !== this) Player.playing?.audio.pause();
    Player.playing = this;
    await this.audio.play().catch(() => {}); // a browser may want a click first
    this.follow();
  }

  /** Draw every frame while it plays. */
  follow() {
    if (this.audio.paused) return;
    this.show();
    requestAnimationFrame(() => this.follow());
  }

  seek(seconds) {
    this.audio.currentTime = Math.min(Math.max(seconds, 0), this.seconds);
    this.show();
  }

  point(event) {
    const box = this.wave.getBoundingClientRect();
    this.seek(((event.clientX - box.left) / box.width) * this.seconds);
  }

  press(event) {
    const step = { ArrowRight: 0.5, ArrowUp: 0.5, ArrowLeft: -0.5, ArrowDown: -0.5, PageUp: 2, PageDown: -2, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined) this.seek(this.audio.currentTime + step);
    else if (event.key === " ") this.button.click();
    else return;
    event.preventDefault();
  }

  show() {
    const { currentTime, paused } = this.audio;
    this.button.setAttribute("aria-label", paused ? "Play" : "Pause");
    this.button.classList.toggle("on", !paused);
    this.wave.setAttribute("aria-valuenow", currentTime.toFixed(2));
    this.wave.setAttribute("aria-valuetext", `${currentTime.toFixed(1)} of ${this.seconds.toFixed(1)} seconds`);
    this.time.textContent = showTime(currentTime, this.seconds);
    this.draw(currentTime / this.seconds);
  }

  /** Draw the waveform, what is behind `share` of it in the accent's colour. */
  draw(share) {
    const canvas = this.wave.firstElementChild;
    const { clientWidth: width, clientHeight: height } = this.wave;
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    const style = getComputedStyle(this.wave);
    const loudest = Math.max(0.05, ...this.peaks); // quiet speech fills the height, too
    const step = Math.ceil((N_BARS * 4) / width); // peaks to a bar, so that bars are no thinner than can be seen
    const n_bars = Math.ceil(N_BARS / step);
    for (let bar = 0; bar < n_bars; bar++) {
      const part = this.peaks.slice(bar * step, (bar + 1) * step);
      const size = Math.max(2, (Math.max(...part) / loudest) * height);
      pen.fillStyle = style.getPropertyValue((bar + 0.5) / n_bars < share ? "--accent" : "--wave");
      pen.beginPath();
      pen.roundRect((bar * width) / n_bars + 0.5, (height - size) / 2, Math.max(1, width / n_bars - 1.5), size, 1.5);
      pen.fill();
    }
  }

  close() {
    this.audio.pause();
    URL.revokeObjectURL(this.url);
  }
}
