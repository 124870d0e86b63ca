// A form from a Cog schema: fields in the order of x-order, their types, bounds, choices and help. Knows no server and no audio.
"use strict";

const MANY_CHOICES = 12; // more than these are shown by language, in two lists

/** Return the inputs of an OpenAPI document as plain fields, in order; deprecated ones are left out. */
function readSchema(document) {
  const { schemas } = document.components;
  const required = schemas.Input.required ?? [];
  return Object.entries(schemas.Input.properties)
    .sort(([, one], [, other]) => (one["x-order"] ?? 0) - (other["x-order"] ?? 0))
    .filter(([, entry]) => !entry.deprecated)
    .map(([name, entry]) => {
      const reference = (entry.allOf ?? [entry])[0].$ref;
      const kind = entry.anyOf?.find((each) => each.type !== "null") ?? {};
      const merged = { ...kind, ...(reference ? schemas[reference.split("/").pop()] : {}), ...entry };
      return { ...merged, name, label: sentence(entry.title ?? name), isRequired: required.includes(name), widget: chooseWidget(merged) };
    });
}

function chooseWidget(entry) {
  if (entry.enum) return "choice";
  if (entry.type === "boolean") return "flag";
  if (entry.type === "integer" || entry.type === "number") return "number";
  if (entry.format === "uri") return "file";
  return entry.type === "string" && entry.maxLength <= 200 ? "line" : "text";
}

/** Return "Text temp" for "Text Temp" or "text_temp". */
function sentence(title) {
  const words = title.replaceAll("_", " ").toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
}

/** Return a new element: its attributes, then its children. Text is always text, never HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Return a voice's language in English: the one that is given, as a code or a name, else the one in the voice's name, else "Other". */
function languageOf({ id, language }) {
  const code = language ?? /(?:^|\/)([a-z]{2})_speaker_\d+$/.exec(id)?.[1] ?? "Other";
  return /^[a-z]{2,3}$/.test(code) ? new Intl.DisplayNames(["en"], { type: "language" }).of(code) : code;
}

/** What a field cannot be read for, in the browser's words. */
class FieldFault extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/** The fields of one server. `values` are those to begin with; `onChange` hears of every edit. */
class Fields {
  constructor(schema, voices, onChange) {
    this.onChange = onChange;
    this.files = new Map(); // name → { blob, label }
    this.all = readSchema(schema);
    this.voices = voices; // [{ id, language }] of the voices that the server has, or none known
    const isMain = ({ widget, nullable, ...entry }) => (widget === "text" && !nullable) || widget === "file" || entry.enum?.length > MANY_CHOICES;
    for (const [id, wanted] of [["main-fields", true], ["more-fields", false]]) {
      const fields = this.all.filter((field) => isMain(field) === wanted);
      document.getElementById(id).replaceChildren(...fields.map((field) => this.build(field)));
    }
    document.getElementById("more").hidden = this.all.every(isMain);
  }

  build(field) {
    const { name, label, description } = field;
    const help = description && make("p", { class: "help", id: `help-${name}` }, description);
    const fault = make("p", { class: "fault", id: `fault-${name}`, hidden: true });
    field.common = { id: `field-${name}`, name, "aria-describedby": `${description ? `help-${name} ` : ""}fault-${name}` };
    const box = make("div", { class: `field ${field.widget}` }, make("label", { for: `field-${name}` }, label), ...this[field.widget](field), ...(help ? [help] : []), fault);
    field.control = box.querySelector(`#field-${name}`);
    box.addEventListener("input", () => {
      this.showFault(field, "");
      this.onChange();
    });
    return box;
  }

  text(field) {
    return [make("textarea", { ...field.common, rows: field.nullable ? 2 : 5, required: field.isRequired }, field.default ?? "")];
  }

  line(field) {
    return [make("input", { ...field.common, type: "text", value: field.default, required: field.isRequired })];
  }

  flag(field) {
    return [make("input", { ...field.common, type: "checkbox", checked: field.default === true })];
  }

  /** A box for the number, and a slider beside it where both ends and a default are given. */
  number(field) {
    const { minimum: min, maximum: max, default: value, type, label } = field;
    const limits = { min, max, step: type === "integer" ? 1 : "any" };
    const box = make("input", { ...field.common, ...limits, type: "number", value, placeholder: value === undefined || value === null ? "left out" : null });
    if (max === undefined || min === undefined || typeof value !== "number" || max - min > 100) return [box];
    const slider = make("input", { type: "range", ...limits, value, "aria-label": `${label}, slider` });
    slider.addEventListener("input", () => (box.value = type === "integer" ? slider.value : Number(Number(slider.value).toPrecision(2))));
    box.addEventListener("input", () => (slider.value = box.value));
    field.slider = slider;
    return [make("div", { class: "pair" }, slider, box)];
  }

  choice(field) {
    const known = field.enum.length > MANY_CHOICES && this.voices.length ? this.voices.filter(({ id }) => field.enum.includes(id)) : [];
    const entries = known.length ? known : field.enum.map((id) => ({ id }));
    const groups = Map.groupBy(entries, languageOf);
    const list = make("select", field.common);
    const mayBeLeftOut = field.nullable || (field.default === undefined && !field.isRequired);
    const fill = (names) => list.replaceChildren(...(mayBeLeftOut ? [make("option", { value: "" }, "left out")] : []), ...names.map(({ id }) => make("option", { value: id }, String(id))));
    fill(entries);
    list.value = field.default ?? "";
    if (field.enum.length <= MANY_CHOICES || groups.size < 2) return [list];
    const languages = make("select", { "aria-label": "Language" }, make("option", { value: "" }, "any language"), ...[...groups.keys()].sort().map((each) => make("option", {}, each)));
    languages.addEventListener("change", () => fill(groups.get(languages.value) ?? entries));
    field.showAll = () => {
      languages.value = "";
      fill(entries);
    };
    return [make("div", { class: "pair" }, languages, list)];
  }

  file(field) {
    const input = make("input", { ...field.common, type: "file", accept: field["x-cog-accept"] });
    const chosen = make("span", { class: "chosen" });
    const remove = make("button", { type: "button", class: "plain" }, "Remove");
    field.shown = make("div", { class: "pair", hidden: true }, chosen, remove);
    field.chosen = chosen;
    input.addEventListener("change", () => this.setFile(field, input.files[0], input.files[0]?.name));
    remove.addEventListener("click", () => {
      this.setFile(field, null);
      input.focus();
    });
    return [input, field.shown];
  }

  setFile(field, blob, label) {
    if (blob) this.files.set(field.name, { blob, label });
    else this.files.delete(field.name);
    field.control.value = "";
    field.control.hidden = Boolean(blob);
    field.shown.hidden = !blob;
    field.chosen.textContent = label ?? "";
    this.showFault(field, "");
  }

  /** Return the field that takes a voice's file, if there is one. */
  get voiceField() {
    return this.all.find(({ widget, name, description }) => widget === "file" && /voice|history|speaker/i.test(`${name} ${description}`));
  }

  /** Return what the form says, files as blobs; what may be left out and is empty is left out. Throws FieldFault. */
  read() {
    const values = {};
    for (const { name, widget, control, type, nullable } of this.all) {
      const isEmpty = control.value === "" && (widget !== "text" || nullable || type !== "string");
      if (control.validity.badInput) throw new FieldFault(name, control.validationMessage);
      if (widget === "file") {
        if (this.files.has(name)) values[name] = this.files.get(name).blob;
      } else if (widget === "flag") values[name] = control.checked;
      else if (!isEmpty) values[name] = type === "string" ? control.value : parseOr(control.value);
    }
    return values;
  }

  /** Put values into the form; what they leave out is as at the beginning. */
  write(values) {
    for (const field of this.all) {
      const value = values[field.name] ?? field.default;
      if (field.widget === "file") this.setFile(field, value instanceof Blob ? value : null, value?.name ?? "the voice of that prediction");
      else if (field.widget === "flag") field.control.checked = value === true;
      else {
        field.showAll?.();
        field.control.value = value instanceof Object ? JSON.stringify(value) : (value ?? "");
        if (field.slider) field.slider.value = field.control.value;
      }
    }
  }

  /** Show what the server says of a field beside it, or clear it; return whether there is such a field. */
  showFault(field, message) {
    const shown = document.getElementById(`fault-${field.name}`);
    if (!shown) return false;
    shown.textContent = message;
    shown.hidden = !message;
    field.control.toggleAttribute("aria-invalid", Boolean(message));
    if (message) field.control.closest("details")?.setAttribute("open", "");
    return true;
  }
}

function parseOr(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text; // the server says what is wrong with it
  }
}
