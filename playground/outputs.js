// What was spoken, kept in this browser (IndexedDB), so that it survives a reload. Bounded: the oldest go first.
"use strict";

const MAX_ITEMS = 50;
const MAX_BYTES = 200e6;

/** The kept items, each { id, when, inputs, blob, isVoice, seconds, peaks, seed, notes }. Where the browser keeps nothing, they last until the page is closed. */
class Outputs {
  static async open() {
    const outputs = new Outputs();
    outputs.database = await new Promise((resolve) => {
      const request = indexedDB.open("bark", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("spoken", { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(null); // private windows of some browsers
    });
    outputs.items = outputs.database ? await outputs.run("readonly", (store) => store.getAll()) : [];
    return outputs;
  }

  run(mode, action) {
    if (!this.database) return undefined;
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction("spoken", mode);
      const request = action(transaction.objectStore("spoken"));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error); // a full disk, for one
    });
  }

  /** Keep an item; return those that had to go for it. What cannot be kept still lasts until the page is closed. */
  async add(item) {
    this.items.push(item);
    const bytes = ({ blob, inputs }) => [blob, ...Object.values(inputs)].reduce((sum, each) => sum + (each?.size ?? 0), 0);
    let total = this.items.reduce((sum, each) => sum + bytes(each), 0);
    const gone = [];
    while (this.items.length > 1 && (this.items.length > MAX_ITEMS || total > MAX_BYTES)) {
      total -= bytes(this.items[0]);
      gone.push(this.items.shift());
    }
    await this.run("readwrite", (store) => {
      gone.forEach(({ id }) => store.delete(id));
      return store.put(item);
    });
    return gone;
  }

  async remove(item) {
    this.items = this.items.filter((each) => each !== item);
    await this.run("readwrite", (store) => store.delete(item.id));
  }

  async clear() {
    this.items = [];
    await this.run("readwrite", (store) => store.clear());
  }
}
