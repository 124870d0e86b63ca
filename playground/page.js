// The page itself: the server, a prediction from Speak to its card, and the cards. What the server says is shown in its own words.
"use strict";

const ASK_AGAIN_MS = { ready: 10000, busy: 2000, starting: 1000, lost: 2000 };
const LOOK_EVERY_MS = 400;
const STATES = {
  READY: ["ready", "Ready"],
  BUSY: ["busy", "Busy"],
  STARTING: ["starting", "The server is starting …"],
  SETUP_FAILED: ["lost", "The server's setup failed; its log says why."],
  DEFUNCT: ["lost", "The server cannot speak any more; its log says why."],
  UNHEALTHY: ["lost", "The server cannot speak any more; its log says why."],
};
const WAITING = "The server is busy with another prediction; this one waits its turn.";
const SUFFIXES = { "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/flac": "flac", "audio/x-flac": "flac", "audio/aac": "aac", "audio/mp4": "m4a" };

const $ = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const newId = () => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`; // in the order of time
const isFile = location.protocol === "file:";

let server = localStorage.getItem("bark-server") ?? (isFile ? "http://127.0.0.1:8000" : location.origin);
let fields = null; // the form, once the server has told its inputs
let outputs = null;
let running = null; // the prediction under way: { id, isCancelled, controller }
let nextQuestion = 0;

/** Nothing answered: the server is down, or will not talk to a page from elsewhere. */
class Lost extends Error {}

/** Ask the server; return the status and the parsed body. Throws Lost, or AbortError where `signal` says so. */
async function ask(method, path, body, { signal, headers } = {}) {
  const key = sessionStorage.getItem("bark-key");
  let response, text;
  try {
    response = await fetch(server + path, {
      method,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(key ? { Authorization: `Bearer ${key}` } : {}), ...headers },
    });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const hint = server === location.origin ? "" : ", or not to this page: a gateway started with --allow-origin would";
    throw new Lost(`${server} does not answer${hint}. Your text is kept.`);
  }
  if (response.status === 401) showConnection();
  return { status: response.status, body: parseOr(text) };
}

/** Return what a refusal says: Cog's `error`, the gateway's `error.message`, a list of faults, or the status. */
function explain({ status, body }) {
  const said = body?.error?.message ?? body?.error ?? body?.detail ?? body;
  if (Array.isArray(said)) return said.map(({ loc, msg }) => `${loc.at(-1)}: ${msg}`).join("; ");
  const text = typeof said === "string" && !said.startsWith("<") ? said : `The server answered with status ${status}.`;
  return text.replace(/^(Prediction failed: )+(\w+: )?/, "");
}

// --- the server --------------------------------------------------------------------------------------------------------------

function showState(state, text) {
  const shown = $("state");
  if (shown.dataset.state === "lost" && state === "ready") $("fault").hidden = true;
  if (shown.textContent !== text) shown.textContent = text;
  shown.dataset.state = state;
}

function showConnection() {
  if ($("connection").hidden) $("address").value = server; // later it is what somebody types
  $("connection").hidden = false;
}

/** Ask how the server is, and for its inputs where they are not known yet; ask again, sooner while it is away. */
async function watch() {
  clearTimeout(nextQuestion);
  try {
    const { status, body } = await ask("GET", "/health-check");
    if (status === 401) showState("lost", "The server asks for a key");
    else if (!STATES[body?.status]) {
      showState("lost", "No Cog server is here");
      showConnection();
    } else {
      const [state, text] = STATES[body.status];
      const reason = body.setup?.logs?.trim(); // a gateway's is a sentence, a Cog server's is its whole log
      showState(state, state === "lost" && reason && !reason.includes("\n") ? reason : text);
      if (!fields && (body.status === "READY" || body.status === "BUSY")) await buildForm();
    }
  } catch (error) {
    if (!(error instanceof Lost)) throw error;
    showState("lost", "The server does not answer; asking again …");
    if (server !== location.origin) showConnection();
  }
  nextQuestion = setTimeout(watch, document.hidden ? 30000 : (ASK_AGAIN_MS[$("state").dataset.state] ?? 2000));
}

async function buildForm() {
  const schema = await ask("GET", "/openapi.json");
  if (!schema.body?.components) return showFault(explain(schema));
  const voices = await ask("GET", "/v1/audio/voices").catch(() => null); // a gateway knows them, a Cog server does not
  fields = new Fields(schema.body, voices?.body?.voices ?? [], saveDraft);
  const draft = parseOr(localStorage.getItem("bark-draft"));
  if (draft) fields.write(draft);
  $("form").hidden = false;
  $("connection").hidden = server === location.origin;
  showCards();
}

function saveDraft() {
  try {
    localStorage.setItem("bark-draft", JSON.stringify(fields.read(), (_, value) => (value instanceof Blob ? undefined : value)));
  } catch {
    // A number half typed, or a browser that keeps nothing: the draft before it stays.
  }
}

// --- one prediction ----------------------------------------------------------------------------------------------------------

async function speak(event) {
  event.preventDefault();
  if (running || !fields) return;
  showFault("");
  let inputs;
  try {
    inputs = fields.read();
  } catch (error) {
    if (!(error instanceof FieldFault)) throw error;
    return refuse([{ loc: [error.name], msg: error.message }]);
  }
  running = { id: `page-${newId()}`, isCancelled: false, controller: new AbortController() };
  showRunning(true);
  try {
    const answer = await predict(inputs);
    if (answer?.status === 422 && Array.isArray(answer.body.detail)) refuse(answer.body.detail);
    else if (!answer || answer.body?.status === "canceled") announce("Cancelled.");
    else if (answer.body?.status === "succeeded") await keep(inputs, answer.body);
    else showFault(explain(answer));
  } catch (error) {
    if (error.name === "AbortError") announce("Cancelled.");
    else showFault(error.message);
  } finally {
    showRunning(false);
    running = null;
    watch();
  }
}

/** Run a prediction to its end, waiting while the server is busy with another; return the answer, or null where it was cancelled before its turn. */
async function predict(inputs) {
  const input = {};
  for (const [name, value] of Object.entries(inputs)) input[name] = value instanceof Blob ? await readAsUrl(value) : value;
  while (!running.isCancelled) {
    const looking = setInterval(look, LOOK_EVERY_MS);
    const answer = await ask("PUT", `/predictions/${running.id}`, { input }, running.controller).finally(() => clearInterval(looking));
    if (answer.status !== 409 && answer.status !== 429) return answer;
    showStage(WAITING);
    await pause(700);
  }
  return null;
}

/** Read the progress of the prediction under way from its logs, by asking for it once more with an input that no server takes: too late, it starts nothing. */
async function look() {
  const { id } = running;
  const [{ name, type }] = fields.all;
  const { status, body } = await ask("PUT", `/predictions/${id}`, { input: { [name]: type === "string" ? 0 : "" } }, { headers: { Prefer: "respond-async" } }).catch(() => ({}));
  if (status !== 202 || running?.id !== id) return;
  const line = body.logs?.split(/[\r\n]/).findLast((each) => /^\s*\d+%\|/.test(each));
  if (line) showStage(`${/(\w+)\]\s*$/.exec(line)?.[1] ?? "started"}, ${parseInt(line, 10)} %`, parseInt(line, 10));
  else if (body.status === "starting") showStage(WAITING);
}

async function cancel() {
  if (!running || running.isCancelled) return;
  const { id, controller } = running;
  running.isCancelled = true;
  showStage("Cancelling …");
  await ask("POST", `/predictions/${id}/cancel`).catch(() => {});
  setTimeout(() => controller.abort(), 3000); // a server that does not answer cancels what nobody waits for
}

function readAsUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read any more; choose it again."));
    reader.readAsDataURL(blob);
  });
}

/** Keep what a prediction gave, show its card and play it. */
async function keep(inputs, { output, metrics, logs }) {
  const pieces = await Promise.all([output ?? []].flat().map(async (url) => (await fetch(url)).blob()));
  if (!pieces.length) return showFault("The prediction succeeded and gave no file.");
  const samples = await decode(pieces).catch(() => null);
  if (!samples) showFault("This browser cannot read what was spoken; download it to hear it elsewhere.");
  const blob = samples && pieces.length > 1 ? encodeWav(samples) : pieces.at(-1); // pieces: of a model that streams
  const sound = samples ? measure(samples) : { seconds: metrics?.audio_seconds ?? 1, peaks: new Float32Array(N_BARS) };
  const notes = logs?.match(/^Note: .*$/gm)?.map((line) => line.slice(6)) ?? [];
  const seed = metrics?.seed ?? /^Seed: (\d+)$/m.exec(logs)?.[1];
  const isVoice = pieces.length === 1 && /wav/.test(blob.type); // other files do not carry what they were made of
  const item = { id: newId(), when: Date.now(), inputs, blob, isVoice, ...sound, seed, notes };
  const gone = await outputs.add(item).catch(() => showFault("This browser has no room to keep it; download what you need. It stays here until the page is closed.") ?? []);
  gone.forEach(({ id }) => dropCard(id));
  showCards();
  announce(`Spoken: ${item.seconds.toFixed(1)} seconds.`);
  if (!document.hidden) cards.get(item.id).player.play();
}

// --- what is shown -----------------------------------------------------------------------------------------------------------

function announce(text) {
  $("announce").textContent = text;
}

function showFault(text) {
  $("fault").textContent = text;
  $("fault").hidden = !text;
  if (text) $("fault").scrollIntoView({ block: "nearest" });
}

/** Show each of the server's faults beside its field, or under the form where there is none; the first field gets the focus. */
function refuse(faults) {
  const elsewhere = faults.filter(({ loc, msg }) => !fields.showFault({ ...fields.all.find(({ name }) => name === loc.at(-1)), name: loc.at(-1) }, msg));
  showFault(elsewhere.length ? explain({ body: { detail: elsewhere } }) : `Not spoken: ${faults.length === 1 ? "one setting" : `${faults.length} settings`} cannot be used.`);
  document.querySelector("[aria-invalid]")?.focus();
}

function showRunning(isRunning) {
  $("speak").disabled = isRunning;
  if (isRunning) showState("busy", "Speaking …");
  $("cancel").hidden = $("progress").hidden = !isRunning;
  $("hint").hidden = isRunning;
  $("progress").firstElementChild.removeAttribute("value");
  $("stage").textContent = isRunning ? "Sent" : "";
  if (!isRunning && document.activeElement === document.body) $("speak").focus();
}

function showStage(text, percent) {
  if (!running || (running.isCancelled && percent !== undefined)) return;
  const said = $("stage").textContent.split(",")[0]; // a stage is announced once, not at every percent
  $("stage").textContent = text;
  if (percent !== undefined) $("progress").firstElementChild.value = percent;
  if (text.split(",")[0] !== said) announce(text);
}

const cards = new Map(); // id → element, with its player

function showCards() {
  for (const item of outputs.items) if (!cards.has(item.id)) $("history").prepend(makeCard(item));
  outputs.items.forEach(({ id, isVoice }) => (cards.get(id).querySelector(".reuse").hidden = !isVoice || !fields?.voiceField));
  $("empty").hidden = outputs.items.length > 0;
  $("clear").hidden = outputs.items.length < 2;
}

function makeCard(item) {
  const card = $("card").content.cloneNode(true).firstElementChild;
  const { inputs, seed, seconds, blob, when, notes = [] } = item;
  const text = inputs.prompt ?? Object.values(inputs).find((value) => typeof value === "string") ?? "";
  const voice = Object.values(inputs).find((value) => value instanceof Blob) ? "a voice of your own" : inputs.history_prompt;
  const facts = [voice, seed !== undefined && `seed ${seed}`, `${seconds.toFixed(1)} s`, new Date(when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })];
  card.querySelector(".said").textContent = text;
  card.querySelector(".facts").textContent = facts.filter(Boolean).join(" · ");
  card.querySelector(".facts").after(...notes.map((note) => make("p", { class: "note" }, note)));
  card.player = new Player(card, blob, item);
  const name = `${text.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.slice(0, 5).join("-").slice(0, 60) ?? "bark"}${seed === undefined ? "" : `-${seed}`}.${SUFFIXES[blob.type] ?? "wav"}`;
  Object.assign(card.querySelector(".download"), { href: card.player.url, download: name });
  card.querySelector(".reuse").addEventListener("click", () => {
    fields.setFile(fields.voiceField, blob, `“${text.length > 40 ? `${text.slice(0, 40)} …` : text}”`);
    fields.voiceField.chosen.scrollIntoView({ block: "nearest" });
    announce("The next prediction speaks with this voice.");
  });
  card.querySelector(".again").addEventListener("click", () => {
    fields.write({ ...inputs, seed });
    saveDraft();
    fields.all[0].control.focus();
    announce("The form has the settings of that prediction, with its seed.");
  });
  card.querySelector(".delete").addEventListener("click", async () => {
    await outputs.remove(item);
    const next = card.nextElementSibling ?? card.previousElementSibling;
    dropCard(item.id);
    (next?.querySelector(".delete") ?? $("outputs")).focus();
    announce("Deleted.");
  });
  cards.set(item.id, card);
  return card;
}

function dropCard(id) {
  cards.get(id).player.close();
  cards.get(id).remove();
  cards.delete(id);
  showCards();
}

async function start() {
  $("form").addEventListener("submit", speak);
  $("cancel").addEventListener("click", cancel);
  $("clear").addEventListener("click", async () => {
    if (!confirm("Delete everything that was spoken? It cannot be brought back.")) return;
    await outputs.clear();
    [...cards.keys()].forEach(dropCard);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("form").hidden) $("form").requestSubmit();
    else if (event.key === "Escape") cancel();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cards.forEach(({ player }) => player.show()));
  document.addEventListener("visibilitychange", () => document.hidden || watch());
  $("connection").addEventListener("submit", (event) => {
    event.preventDefault();
    server = $("address").value.replace(/\/+$/, "") || server;
    if (server === location.origin) localStorage.removeItem("bark-server");
    else localStorage.setItem("bark-server", server);
    if ($("key").value) sessionStorage.setItem("bark-key", $("key").value);
    fields = null;
    showFault("");
    watch();
  });
  outputs = await Outputs.open();
  showCards();
  await watch();
}

start();
