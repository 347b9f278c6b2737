// The page of a Tunewright server. What a model, a user or the server says is written as text, never as HTML.
"use strict";

const get = (id) => document.getElementById(id);
const state = { models: [], limits: {}, files: {}, messages: [], language: "curl", running: null };

// ---------------------------------------------------------------- making elements

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "style") Object.assign(made.style, value);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const show = (element, ...children) => element.replaceChildren(...children.filter(Boolean));
const short = (number) => (Math.abs(number) >= 1000 ? number.toFixed(0) : String(Number(number.toPrecision(4))));
const percent = (share) => (share * 100).toFixed(share > 0.9995 || share < 0.0005 ? 2 : 1) + " %";
const size = (bytes) => (bytes >= 1 << 20 ? (bytes / (1 << 20)).toFixed(1) + " MiB" : Math.ceil(bytes / 1024) + " KiB");
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function table(head, rows, caption) {
  const cell = (tag, one, number) => make(tag, { class: number ? "number" : null, scope: tag === "th" ? "col" : null }, String(one));
  const numbers = head.map((_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === "number" || row[at] === ""));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", {},
      make("thead", {}, make("tr", {}, ...head.map((one, at) => cell("th", one, numbers[at])))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((one, at) =>
        cell("td", typeof one === "number" ? short(one) : one, numbers[at])))))));
}

// ---------------------------------------------------------------- asking the server

class Refused extends Error {
  constructor(sentence, status) { super(sentence); this.status = status; }
}

function sentenceOf(text, status) {
  try {
    const told = JSON.parse(text).error;
    if (typeof told === "string") return told;
    if (told && typeof told.message === "string") return told.message;
  } catch { /* not JSON: something between this page and the server has answered */ }
  return `the server answered with status ${status}`;
}

async function ask(address, body, signal) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (get("key").value) headers.Authorization = "Bearer " + get("key").value;
  let reply;
  try {
    reply = await fetch(address, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("the server cannot be reached", 0);
  }
  if (reply.ok) return reply;
  if (reply.status === 401 || reply.status === 403) { get("access").open = true; get("key").focus(); }
  throw new Refused(sentenceOf(await reply.text(), reply.status), reply.status);
}

async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = (rest + value).split("\n\n");
    rest = pieces.pop();
    for (const piece of pieces) if (piece.startsWith("data: ")) yield JSON.parse(piece.slice(6));
  }
}

// ---------------------------------------------------------------- which model

const current = () => state.models[Number(get("model")?.value ?? 0)];
function compared() {
  const chosen = get("other")?.value;
  return chosen ? state.models[Number(chosen)] : null;
}
const nameOf = (model) => `${model.name}:${model.version}`;

function chooser(id, label, options, onchange) {
  return make("div", {}, make("label", { for: id }, label),
    make("select", { id, onchange }, ...options.map(([value, text]) => make("option", { value }, text))));
}

function showModels() {
  if (state.models.length < 2) return;
  const all = state.models.map((model, at) => [String(at), `${nameOf(model)} (${model.variant})`]);
  show(get("models"), chooser("model", "Model", all, begin),
    chooser("other", "Beside it", [["", "nothing"], ...all], showSnippet));
}

// ---------------------------------------------------------------- what can be typed and dropped

const KINDS = {
  text: { has: ["text"] }, pair: { has: ["text", "text_pair"] }, question: { has: ["question", "context"] },
  image: { file: "image" }, audio: { file: "audio" }, imageText: { file: "image", has: ["text"] },
  vectors: { has: ["text", "others"] }, chat: { has: ["message"] },
};
const LABELS = {
  text: "Text", text_pair: "Second text", question: "Question", context: "Context", message: "Message",
  others: "Compare it with (one text a line)", image: "Image", audio: "Recording",
};

function kindOf(model) {
  const { task } = model;
  if (task === "question-answering") return "question";
  if (task === "feature-extraction") return "vectors";
  if (task === "image-text-classification") return "imageText";
  if (task.startsWith("image-")) return "image";
  if (task.startsWith("audio-")) return "audio";
  if (model.chat) return "chat";
  return model.pair ? "pair" : "text";
}

function exampleOf(model, field) {
  const { example } = model;
  if (field === "others") return "It is wonderful.\nThe train leaves at nine.";
  if (field === "message") return example[0]?.content ?? "";
  return typeof example === "string" ? example : example?.[field] ?? "";
}

function textField(model, field) {
  const rows = field === "context" ? 7 : field === "question" ? 1 : 3;
  const box = make("textarea", { id: "in-" + field, rows, oninput: showSnippet, onkeydown: sendByKey });
  box.value = exampleOf(model, field);
  return make("div", {}, make("label", { for: box.id }, LABELS[field]), box,
    model.mask_token && make("button", { type: "button", class: "small", onclick: () => insert(box, model.mask_token) },
      `Insert ${model.mask_token}`));
}

function insert(box, text) {
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  box.focus();
  showSnippet();
}

function sendByKey(event) {
  const alone = event.target.id === "in-message" && !event.shiftKey;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey || alone) && !event.isComposing) {
    event.preventDefault();
    get("form").requestSubmit();
  }
}

function fileField(field) {
  const preview = make("div", { id: "preview" });
  const input = make("input", { type: "file", id: "in-" + field, accept: field + "/*", onchange: () => take(input.files[0]) });
  const drop = make("div", { class: "drop" }, make("label", { for: input.id }, LABELS[field] + ": choose a file, or drop one here"), input, preview);
  const over = (event) => { event.preventDefault(); drop.classList.toggle("over", event.type === "dragover"); };
  drop.addEventListener("dragover", over);
  drop.addEventListener("dragleave", over);
  drop.addEventListener("drop", (event) => { over(event); take(event.dataTransfer.files[0]); });

  function take(file) {
    if (!file) return;
    const most = current().body_bytes;
    // In base64 a file grows by a third.
    if (file.size * 4 / 3 + 1024 > most) {
      fault(`${file.name} has ${size(file.size)}; this server reads requests of at most ${size(most)}`);
      return;
    }
    const reader = new FileReader();
    reader.onload = () => {
      state.files[field] = { name: file.name, content: reader.result.slice(reader.result.indexOf(",") + 1) };
      showSnippet();
    };
    reader.readAsDataURL(file);
    URL.revokeObjectURL(state.files.address);
    state.files.address = URL.createObjectURL(file);
    show(preview, field === "image"
      ? make("img", { src: state.files.address, alt: file.name })
      : make("audio", { src: state.files.address, controls: true, "aria-label": file.name }));
    fault("");
  }
  return drop;
}

function showFields(model) {
  const kind = KINDS[kindOf(model)];
  state.files = {};
  state.messages = [];
  const log = kind === KINDS.chat && make("ol", { class: "log", id: "log", "aria-label": "Conversation", "aria-live": "polite" });
  show(get("fields"), log, kind.file && fileField(kind.file), ...(kind.has ?? []).map((field) => textField(model, field)));
}

const typed = (field) => get("in-" + field).value;
const otherTexts = () => typed("others").split("\n").filter((line) => line.trim());

function inputsOf(model) {
  const kind = kindOf(model);
  const file = KINDS[kind].file;
  if (file && !state.files[file]) throw new Refused(`choose ${file === "image" ? "an image" : "a recording"} first`, 0);
  switch (kind) {
    case "pair": return { text: typed("text"), text_pair: typed("text_pair") };
    case "question": return { question: typed("question"), context: typed("context") };
    case "image": case "audio": return state.files[file].content;
    case "imageText": return { image: state.files.image.content, text: typed("text") };
    case "vectors": return [typed("text"), ...otherTexts()];
    case "chat": return state.messages;
    default: return typed("text");
  }
}

// ---------------------------------------------------------------- settings of a request

function showParameters(model) {
  const fields = Object.entries(model.parameters).map(([name, shape]) => parameter(name, shape)).filter(Boolean);
  get("settings").hidden = fields.length === 0;
  show(get("parameters"), ...fields);
}

function parameter(name, shape) {
  const plain = shape.type ? shape : shape.anyOf?.find((one) => one.type && one.type !== "null") ?? shape;
  const standard = shape.default === undefined || shape.default === null ? "" : String(shape.default);
  const common = { id: "set-" + name, "data-name": name, "data-type": plain.type, title: shape.description, oninput: showSnippet };
  let field;
  if (plain.enum || plain.type === "boolean") {
    const choices = plain.enum?.filter((one) => one !== null) ?? ["true", "false"];
    field = make("select", common, make("option", { value: "" }, standard ? `as usual (${standard})` : "as usual"),
      ...choices.map((one) => make("option", { value: one }, one)));
  } else if (plain.type === "integer" || plain.type === "number") {
    field = make("input", { ...common, type: "number", step: plain.type === "integer" ? 1 : "any", min: plain.minimum, max: plain.maximum, placeholder: standard });
  } else if (plain.type === "string" || plain.type === "array") {
    field = make("input", { ...common, placeholder: plain.type === "array" ? "a, b, c" : standard });
  } else return null;
  return make("div", {}, make("label", { for: field.id }, name), field);
}

function parametersOf(model) {
  const found = {};
  for (const field of get("parameters").querySelectorAll("[data-name]")) {
    const { name, type } = field.dataset;
    if (field.value === "" || !(name in model.parameters)) continue;
    if (type === "integer" || type === "number") found[name] = Number(field.value);
    else if (type === "boolean") found[name] = field.value === "true";
    else if (type === "array") found[name] = field.value.split(",").map((one) => one.trim()).filter(Boolean);
    else found[name] = field.value;
  }
  // Only what is written is shown piece by piece: the prompt is there already.
  if (model.task === "text-generation" && "return_full_text" in model.parameters) found.return_full_text ??= false;
  return found;
}

function bodyOf(model) {
  const parameters = parametersOf(model);
  return { inputs: inputsOf(model), ...(Object.keys(parameters).length ? { parameters } : {}) };
}

// ---------------------------------------------------------------- answers

function bars(rows) {
  const most = Math.max(...rows.map((row) => Math.abs(row.share)), 1e-12);
  const scale = most <= 1 ? 1 : most;
  return make("ol", { class: "bars" }, ...rows.map((row) => make("li", {},
    make("span", { class: "fill", "aria-hidden": "true", style: { width: `${Math.max(row.share, 0) / scale * 100}%` } }),
    make("span", {}, row.name), make("span", { class: "number" }, row.told))));
}

function folded(rows, draw, most = 10) {
  if (rows.length <= most) return draw(rows);
  const box = make("div", {}, draw(rows.slice(0, most)));
  box.append(make("button", { type: "button", class: "small", onclick: () => show(box, draw(rows)) }, `Show all ${rows.length}`));
  return box;
}

function labels(answer, model) {
  if (model.problem === "regression") {
    return make("div", {}, make("p", { class: "big number" }, short(answer[0].score)), make("p", { class: "quiet" }, answer[0].label));
  }
  const rows = answer.map((one) => ({
    name: one.predicted ? `${one.label} \u2713` : one.label, share: one.score,
    told: percent(one.score),
  }));
  return make("div", {}, folded(rows, bars),
    model.thresholds && make("p", { class: "quiet" }, "\u2713 the score reaches the label's own threshold"));
}

// Characters are counted as the server does: those beyond the basic plane once.
const characters = (text) => Array.from(text);

function kindNumber(kind, model) {
  const kinds = [...new Set(model.labels.map((label) => label.replace(/^[BIES]-/, "")))].filter((one) => one !== "O");
  return Math.max(kinds.indexOf(kind), 0) % 6;
}

function entities(answer, model, inputs) {
  const letters = characters(inputs);
  const passage = make("p", { class: "passage" });
  let at = 0;
  for (const one of answer) {
    if (one.start < at) continue;
    const kind = one.entity_group ?? one.entity;
    passage.append(letters.slice(at, one.start).join(""),
      make("mark", { class: "kind-" + kindNumber(kind.replace(/^[BIES]-/, ""), model), title: percent(one.score) },
        letters.slice(one.start, one.end).join(""), make("span", { class: "kind" }, kind)));
    at = one.end;
  }
  passage.append(letters.slice(at).join(""));
  if (!answer.length) return make("div", {}, passage, make("p", { class: "quiet" }, "Nothing found."));
  return make("div", {}, passage, make("details", {}, make("summary", {}, plural(answer.length, "entity").replace("entitys", "entities")),
    table(["what", "kind", "score"], answer.map((one) => [one.word, one.entity_group ?? one.entity, one.score]), "Entities")));
}

function passages(answer, inputs) {
  const best = Array.isArray(answer) ? answer : [answer];
  const letters = characters(inputs.context);
  const { start, end } = best[0];
  return make("div", {},
    make("p", { class: "big" }, best[0].answer || "No answer in this context"),
    make("p", { class: "quiet" }, `score ${short(best[0].score)}`),
    make("p", { class: "passage" }, letters.slice(0, start).join(""),
      end > start ? make("mark", {}, letters.slice(start, end).join("")) : null, letters.slice(end).join("")),
    best.length > 1 ? table(["answer", "score"], best.map((one) => [one.answer || "(none)", one.score]), "Answers") : null);
}

function masks(answer) {
  const lists = Array.isArray(answer[0]) ? answer : [answer];
  return make("div", {}, ...lists.flatMap((list, number) => [
    lists.length > 1 && make("h3", {}, `Mask ${number + 1}`),
    bars(list.map((one) => ({ name: one.token_str, share: one.score, told: percent(one.score) }))),
    lists.length === 1 && make("p", { class: "quiet" }, list[0].sequence),
  ].filter(Boolean)));
}

function similarities(vectors, inputs) {
  const length = (vector) => Math.hypot(...vector) || 1;
  const cosine = (one, other) => one.reduce((sum, value, at) => sum + value * other[at], 0) / length(one) / length(other);
  const rows = vectors.slice(1).map((vector, at) => ({ name: inputs[at + 1], share: cosine(vectors[0], vector) }));
  rows.sort((one, other) => other.share - one.share);
  return make("div", {},
    rows.length ? bars(rows.map((row) => ({ ...row, told: row.share.toFixed(3) }))) : null,
    make("p", { class: "quiet" }, rows.length ? "Cosine similarity to the first text. " : "",
      `${vectors[0].length} numbers a text; the first: ${vectors[0].slice(0, 4).map(short).join(", ")}, \u2026`));
}

function drawn(answer, model, inputs) {
  switch (model.task) {
    case "token-classification": return entities(answer, model, inputs);
    case "question-answering": return passages(answer, inputs);
    case "masked-language-modelling": return masks(answer);
    case "feature-extraction": return similarities(answer, inputs);
    default:
      if (Array.isArray(answer) && answer[0] && "score" in answer[0] && "label" in answer[0]) return labels(answer, model);
      return make("pre", {}, JSON.stringify(answer, null, 2));
  }
}

// ---------------------------------------------------------------- one question, one answer

function fault(sentence) {
  get("fault").textContent = sentence;
  get("fault").hidden = !sentence;
}

function busy(running) {
  state.running = running;
  get("send").disabled = Boolean(running);
  get("stop").hidden = !running;
  get("busy").textContent = running ? "Asking" : "";
}

function caption(model, begun, reply) {
  const who = reply?.headers.get("X-Tunewright-Model") ?? nameOf(model);
  if (who.startsWith(model.name + ":") && who !== `${nameOf(model)}/${model.variant}`) renew().catch((error) => fault(error.message));
  return make("p", { class: "quiet by" }, make("span", {}, who), make("span", {}, `${Math.round(performance.now() - begun)} ms`));
}

async function answerOf(model, signal) {
  const body = bodyOf(model);
  const begun = performance.now();
  if (model.writes) return written(model, body, signal, begun);
  const reply = await ask(model.path + "predict", body, signal);
  const answer = await reply.json();
  const box = make("article", { "aria-label": `Answer of ${nameOf(model)}` }, caption(model, begun, reply), drawn(answer, model, body.inputs));
  const nothing = Array.isArray(answer) && answer.length === 0;
  if (model.explainable && !nothing) box.append(whyButton(model, body.inputs));
  if (model.neighbours) box.append(nearButton(model, body.inputs));
  return box;
}

async function written(model, body, signal, begun) {
  const text = make("p", { class: "written writing" });
  const head = make("div", {});
  const box = make("article", { "aria-label": `Answer of ${nameOf(model)}`, "aria-busy": "true" }, head, text);
  get("answers").append(box);
  const reply = await ask(model.path + "predict/stream", body, signal);
  try {
    for await (const event of events(reply)) {
      if (event.error) throw new Refused(typeof event.error === "string" ? event.error : event.error.message, 500);
      if (event.text) text.append(event.text);
      if (event.finish === "length") head.append(make("p", { class: "quiet" }, "Cut off at the most tokens that were asked for (max_new_tokens)."));
    }
  } finally {
    text.classList.remove("writing");
    box.removeAttribute("aria-busy");
    head.prepend(caption(model, begun, reply));
  }
  return box;
}

function say(role, content) {
  const text = make("span", {}, content);
  const item = make("li", { class: role }, make("span", { class: "who" }, role === "user" ? "You" : nameOf(current())), text);
  get("log").append(item);
  return text;
}

async function chat(model, signal) {
  const content = typed("message").trim();
  if (!content) throw new Refused("write a message first", 0);
  state.messages.push({ role: "user", content });
  say("user", content);
  get("in-message").value = "";
  const text = say("assistant", "");
  text.classList.add("writing");
  try {
    const reply = await ask(model.path + "predict/stream", bodyOf(model), signal);
    for await (const event of events(reply)) {
      if (event.error) throw new Refused(event.error, 500);
      if (event.text) text.append(event.text);
    }
  } finally {
    text.classList.remove("writing");
    if (text.textContent.trim()) state.messages.push({ role: "assistant", content: text.textContent });
    else { text.parentElement.remove(); state.messages.pop(); get("log").lastElementChild?.remove(); get("in-message").value ||= content; }
    get("clear").hidden = state.messages.length === 0;
    showSnippet();
  }
}

async function send(event) {
  event.preventDefault();
  if (state.running) return;
  if (!state.models.length) return start();
  fault("");
  const model = current();
  const stopping = new AbortController();
  busy(stopping);
  try {
    if (kindOf(model) === "chat") await chat(model, stopping.signal);
    else {
      inputsOf(model);
      show(get("answers"));
      const models = [model, compared()].filter((one, at, all) => one && all.indexOf(one) === at);
      const boxes = await Promise.all(models.map((one) => answerOf(one, stopping.signal).catch((error) => beside(error, one, models.length))));
      show(get("answers"), ...boxes);
    }
  } catch (error) {
    if (error.name !== "AbortError") fault(error instanceof Refused ? error.message : `this page made a mistake: ${error.message}`);
  } finally {
    busy(null);
  }
}

function beside(error, model, count) {
  if (count === 1 || error.name === "AbortError") throw error;
  return make("article", {}, make("p", { class: "quiet" }, nameOf(model)), make("p", { class: "fault" }, error.message));
}

// ---------------------------------------------------------------- why

function whyButton(model, inputs) {
  return explainer("Why this answer?", "Hiding parts of the input", model, { inputs }, (found) => why(found, model, inputs));
}

function nearButton(model, inputs) {
  const asked = { inputs, parameters: { method: "neighbours" } };
  return explainer("Which training rows are like it?", "Looking for them", model, asked, nearest);
}

function explainer(question, doing, model, asked, drawn) {
  const box = make("div", { class: "why" });
  const button = make("button", { type: "button", class: "small", onclick: async () => {
    button.disabled = true;
    button.textContent = doing;
    try {
      const reply = await ask(model.path + "explain", asked);
      show(box, drawn(await reply.json()));
      box.setAttribute("tabindex", "-1");
      box.focus();
    } catch (error) {
      show(box, make("p", { class: "fault", role: "alert" }, error.message));
    }
  } }, question);
  box.append(button);
  return box;
}

function nearest(found) {
  const named = { label: "label", text: "text", text_pair: "second text", sha256: "file (sha256)", row: "row", similarity: "similarity" };
  const keys = Object.keys(named).filter((key) => key in found.neighbours[0]);
  const cell = (value) => Array.isArray(value) ? value.join(", ") : typeof value === "number" ? short(value) : value;
  return make("div", {},
    make("h3", {}, "The training rows most like it"),
    make("p", { class: "quiet" }, `The model answers \u201c${found.target}\u201d (${short(found.score)}). Rows are alike where the model makes nearly the same of them; 1 is the same.`),
    table(keys.map((key) => named[key]), found.neighbours.map((row) => keys.map((key) => key === "row" ? String(row.row) : cell(row[key]))), "Nearest training rows"));
}

function tint(weight, most) {
  const strength = Math.min(Math.abs(weight) / most, 1) * 0.7;
  return strength < 0.02 ? "transparent" : `rgba(var(--${weight > 0 ? "for" : "against"}), ${strength.toFixed(3)})`;
}

function why(explanation, model, inputs) {
  if (!Array.isArray(explanation)) return reasons(explanation, inputs);
  if (explanation.length === 1) return reasons(explanation[0], inputs);
  const body = make("div", {});
  const select = chooser("why-of", "Why is this an entity?", explanation.map((one, at) => [String(at), `${one.word} (${one.target})`]),
    (event) => show(body, reasons(explanation[Number(event.target.value)], inputs)));
  show(body, reasons(explanation[0], inputs));
  return make("div", {}, select, body);
}

function reasons(one, inputs) {
  const most = Math.max(...one.parts.map((part) => Math.abs(part.weight)), 0);
  if (most < 1e-6) {
    return make("p", { class: "quiet" }, `Nothing in this input decides it: hidden or shown, the score stays ${short(one.score)}.`);
  }
  const parts = [
    make("h3", {}, `What \u201c${one.target || "no answer"}\u201d rests on`),
    make("p", { class: "quiet" },
      make("span", { class: "scale" }, make("span", { class: "swatch for" }), "for it"),
      make("span", { class: "scale" }, make("span", { class: "swatch against" }), "against it")),
    ...pictures(one.parts, most, inputs),
    make("p", { class: "quiet" }, `With everything hidden the score would be ${short(one.base)}; what is shown makes it ${short(one.score)}. `
      + `Told from ${plural(one.rows, "run")} of the model with parts of the input hidden.`),
    make("details", {}, make("summary", {}, "As a table"),
      table(["part", one.scale === "log-odds" ? "weight (log-odds)" : "weight"], [...one.parts].sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight)).map((part) => [placeOf(part), Number(part.weight.toFixed(3))]), "Weights of the parts")),
  ];
  return make("div", {}, ...parts);
}

function placeOf(part) {
  if (part.text !== undefined) return part.field ? `${part.text} (${LABELS[part.field].toLowerCase()})` : part.text;
  if (part.box) return "across " + part.box.filter((_, at) => at % 2 === 0).map(percent).join(" to ") + ", down " + part.box.filter((_, at) => at % 2).map(percent).join(" to ");
  return `${short(part.start)} to ${short(part.end)} s`;
}

function pictures(parts, most, inputs) {
  const made = [];
  const boxes = parts.filter((part) => part.box);
  if (boxes.length) made.push(overImage(boxes, most));
  const slices = parts.filter((part) => part.text === undefined && !part.box);
  if (slices.length) made.push(overTime(slices, most));
  const fields = new Map();
  for (const part of parts) if (part.text !== undefined) fields.set(part.field, [...(fields.get(part.field) ?? []), part]);
  for (const [field, own] of fields) {
    const text = typeof inputs === "string" ? inputs : inputs[field ?? "text"];
    made.push(field && make("p", { class: "label" }, LABELS[field]), overText(own, most, text));
  }
  return made.filter(Boolean);
}

function overText(parts, most, text) {
  const letters = characters(text);
  const passage = make("p", { class: "passage" });
  let at = 0;
  for (const part of parts) {
    passage.append(letters.slice(at, part.start).join(""),
      make("span", { class: "part", title: short(part.weight), style: { background: tint(part.weight, most) } }, letters.slice(part.start, part.end).join("")));
    at = part.end;
  }
  passage.append(letters.slice(at).join(""));
  return passage;
}

function overImage(parts, most) {
  const share = (value) => `${value * 100}%`;
  return make("div", { class: "over" }, make("img", { src: state.files.address, alt: "The image with the squares that count" }),
    ...parts.map(({ box: [left, top, right, bottom], weight }) => make("span", { class: "box", title: short(weight), style: {
      left: share(left), top: share(top), width: share(right - left), height: share(bottom - top), background: tint(weight, most) } })));
}

function overTime(parts, most) {
  return make("div", { class: "time", role: "img", "aria-label": "The recording with the moments that count" },
    ...parts.map((part) => make("span", { title: `${placeOf(part)}: ${short(part.weight)}`, style: { flexGrow: part.end - part.start, background: tint(part.weight, most) } })));
}

// ---------------------------------------------------------------- the call as code

const shellQuoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

function pythonOf(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  // Python reads the escapes of JSON, but for the two halves of a character, which are written whole.
  if (typeof value === "string" || typeof value === "number") return JSON.stringify(value);
  if (Array.isArray(value)) return "[" + value.map((one) => pythonOf(one, indent)).join(", ") + "]";
  return "{" + Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${pythonOf(one, indent)}`).join(", ") + "}";
}

const FILE = "\u0000file\u0000";

function snippetBody(model) {
  const kind = KINDS[kindOf(model)];
  const parameters = parametersOf(model);
  let inputs;
  if (kind === KINDS.chat) inputs = [...state.messages, { role: "user", content: typed("message") || "Hello" }];
  else if (kind === KINDS.imageText) inputs = { image: FILE, text: typed("text") };
  else inputs = kind.file ? FILE : inputsOf(model);
  return { inputs, ...(Object.keys(parameters).length ? { parameters } : {}) };
}

const SNIPPETS = {
  curl(url, body, file, key) {
    const head = `curl ${shellQuoted(url)} \\\n  -H 'Content-Type: application/json' \\\n${key ? '  -H "Authorization: Bearer $KEY" \\\n' : ""}`;
    const told = shellQuoted(JSON.stringify(body));
    if (!file) return head + "  -d " + told;
    const parts = told.slice(1, -1).split(JSON.stringify(FILE).slice(1, -1));
    return `{ printf %s '${parts[0]}'; base64 -w0 ${shellQuoted(file)}; printf %s '${parts[1]}'; } |\n` + head + "  -d @-";
  },
  python(url, body, file, key) {
    const told = pythonOf(body).replace(JSON.stringify(FILE), `base64.b64encode(Path(${JSON.stringify(file)}).read_bytes()).decode()`);
    const headers = `{"Content-Type": "application/json"${key ? ', "Authorization": f"Bearer {os.environ[\'KEY\']}"' : ""}}`;
    return [
      file && "import base64", "import json", key && "import os", "import urllib.request", file && "from pathlib import Path", "",
      `body = ${told}`,
      `request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(body).encode(), ${headers})`,
      "with urllib.request.urlopen(request) as reply:", "    print(json.load(reply))",
    ].filter((line) => typeof line === "string").join("\n");
  },
  javascript(url, body, file, key) {
    const told = JSON.stringify(body, null, 2).replace(JSON.stringify(FILE), "content");
    return [
      file && "// `file`: of an <input type=\"file\">",
      file && "const bytes = new Uint8Array(await file.arrayBuffer());",
      file && "const content = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(\"\"));",
      `const reply = await fetch(${JSON.stringify(url)}, {`, '  method: "POST",',
      `  headers: { "Content-Type": "application/json"${key ? ", Authorization: `Bearer ${key}`" : ""} },`,
      `  body: JSON.stringify(${told}),`, "});", "console.log(await reply.json());",
    ].filter((line) => typeof line === "string").join("\n");
  },
};

function showSnippet() {
  const model = current();
  if (!model) return;
  const url = new URL(model.path + "predict", document.baseURI).href;
  const kind = KINDS[kindOf(model)];
  const file = kind.file && (state.files[kind.file]?.name ?? (kind.file === "image" ? "image.png" : "sound.wav"));
  get("snippet").textContent = SNIPPETS[state.language](url, snippetBody(model), file, Boolean(get("key").value));
}

function chooseTab(tab) {
  for (const one of get("tabs").querySelectorAll("[role=tab]")) {
    one.setAttribute("aria-selected", String(one === tab));
    one.tabIndex = one === tab ? 0 : -1;
  }
  state.language = tab.id.slice(4);
  get("snippet").setAttribute("aria-labelledby", tab.id);
  showSnippet();
}

function moveTab(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...get("tabs").querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
  chooseTab(next);
  next.focus();
}

async function copy() {
  const text = get("snippet").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch { // without https a page may not write there by itself
    getSelection().selectAllChildren(get("snippet"));
    document.execCommand("copy");
  }
  get("copy").textContent = "Copied";
  setTimeout(() => { get("copy").textContent = "Copy"; }, 1500);
}

// ---------------------------------------------------------------- what this model is

function showAbout(model) {
  const quality = Object.entries(model.variants);
  const metrics = [...new Set(quality.flatMap(([, one]) => Object.keys(one.metrics)))];
  const interval = model.interval && `95 % interval of ${model.interval.metric}: ${short(model.interval.low)} to ${short(model.interval.high)}. `;
  const rows = quality.map(([name, one]) => [name === model.variant ? `${name} (this one)` : name,
    ...metrics.map((metric) => one.metrics[metric] ?? ""), one.ms_per_text || "", size(one.bytes)]);
  const facts = [
    ["Task", model.task], ["Version", `${nameOf(model)}, made ${model.created.slice(0, 10)}`],
    model.followed && ["Follows", model.reference],
    model.failure && ["A newer version failed", model.failure],
    ["Digest", model.digest],
    ["Made of", `tunewright show ${nameOf(model)}`],
    // A link carries no key.
    model.report && !get("key").value && ["Report", make("a", { href: model.report }, "what it can do, and where it fails")],
    model.labels.length && ["Labels", `${model.labels.length}: ${model.labels.slice(0, 30).join(", ")}${model.labels.length > 30 ? ", \u2026" : ""}`],
    model.context && ["Reads", `a prompt and its answer of ${model.context.toLocaleString("en")} tokens together`],
    model.max_length && !model.context && ["Reads", `${model.max_length} tokens of a text${model.windowed ? " at a time" : "; the rest is cut off"}`],
    ["One request", `at most ${plural(state.limits.inputs, "input")}, ${size(model.body_bytes)}, ${KINDS[kindOf(model)].has ? `${state.limits.characters.toLocaleString("en")} characters a text, ` : ""}${state.limits.deadline_seconds} s`],
    ...Object.entries(model.left_out).map(([name, reason]) => [`No ${name}`, reason]),
  ].filter(Boolean);
  show(get("facts"),
    make("dl", {}, ...facts.flatMap(([name, told]) => [make("dt", {}, name), make("dd", { class: ["Digest", "Made of"].includes(name) ? "digest" : null }, told instanceof Node ? told : String(told))])),
    metrics.length ? make("h3", {}, "Measured on the test rows") : null,
    metrics.length ? table(["variant", ...metrics, "ms", "size"], rows, "Quality of each variant") : null,
    metrics.length ? make("p", { class: "quiet" }, interval ?? "", "Measured once, through the code and the file that answer here. The figures hold for inputs like the test rows.") : null);
}

function showHead(model) {
  document.title = `${nameOf(model)}: Tunewright`;
  get("name").textContent = model.name;
  get("what").textContent = model.purpose;
  const chips = [`version ${model.version}`, model.followed && model.reference !== model.name ? model.reference : null, model.variant, model.task];
  show(get("chips"), ...chips.filter(Boolean).map((one) => make("li", {}, one)));
}

function begin() {
  const model = current();
  fault("");
  show(get("answers"));
  get("clear").hidden = true;
  get("send").textContent = model.writes && kindOf(model) !== "chat" ? "Write" : kindOf(model) === "chat" ? "Send" : "Ask";
  showHead(model);
  showFields(model);
  showParameters(model);
  showSnippet();
  showAbout(model);
}

async function readFacts() {
  const told = await (await ask("page/facts")).json();
  state.models = told.models;
  state.limits = told.limits;
}

// Another version answers by now: what is told of it changes, what was typed stays.
async function renew() {
  const { task, name } = current();
  await readFacts();
  if (current()?.name !== name || current().task !== task) return begin();
  showHead(current());
  showAbout(current());
}

async function start() {
  fault("");
  try {
    await readFacts();
    showModels();
    begin();
  } catch (error) {
    get("name").textContent = error.status === 503 ? "Not ready yet" : "No answer";
    if (error.status === 503) setTimeout(start, 2000);
    fault(error instanceof Refused ? error.message : `this page made a mistake: ${error.message}`);
  }
}

get("form").addEventListener("submit", send);
get("stop").addEventListener("click", () => state.running?.abort());
get("clear").addEventListener("click", () => { begin(); get("in-message").focus(); });
get("key").addEventListener("input", showSnippet);
get("key").addEventListener("change", () => { if (!state.models.length) start(); });
get("copy").addEventListener("click", copy);
get("tabs").addEventListener("keydown", moveTab);
for (const tab of get("tabs").querySelectorAll("[role=tab]")) tab.addEventListener("click", () => chooseTab(tab));
start();
