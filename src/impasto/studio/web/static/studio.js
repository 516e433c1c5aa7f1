// Pictures, forms and recipes of the page. See easel.js for jobs, masks.js for masks.
"use strict";

const impasto = (window.impasto = {
  COLORS: ["#e4572e", "#2e86e4", "#3a9d5d", "#b14fc5", "#d9a514", "#17a2a2", "#8a5a2b", "#d6498b"],
  pictures: { content: null, clip: null, styles: [] }, // {id, name, width, height, share, mask…}
  recipes: { stylize: "default", video: "default" },
  limits: null,
});

const $ = (query, from = document) => from.querySelector(query);
const $$ = (query, from = document) => [...from.querySelectorAll(query)];

impasto.ask = async (path, options = {}) => {
  // A GET request may be repeated, so it has a time limit: a lost connection must not block the page.
  const signal = options.method ? null : AbortSignal.timeout(30000);
  let answer, body;
  try {
    answer = await fetch(path, { signal, ...options });
    if (answer.status === 204) return null;
    body = await answer.json();
  } catch {
    if (!answer || answer.ok || signal?.aborted) throw new Error("the studio does not answer. Is it still running?");
    body = {};
  }
  if (!answer.ok) throw new Error(body.error || `the studio answered with error ${answer.status}`);
  return body;
};

// Messages begin with a capital letter, except where they begin with the name of a file or setting.
impasto.sentence = (text) => (/^[a-z]+[ ,]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text);

impasto.say = (where, text) => {
  const line = $(`#message-${where}`);
  if (line) line.textContent = impasto.sentence(text ?? "");
};

impasto.element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((each) => each !== null));
  return made;
};
const element = impasto.element;

impasto.time = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};

// ---- pictures --------------------------------------------------------------------------------

async function upload(file) {
  return impasto.ask("/api/pictures", { method: "POST", body: await packed(file, "max_bytes") });
}
impasto.upload = upload;

async function packed(file, limit) {
  const limits = (impasto.limits ??= await impasto.ask("/api/limits"));
  const most = limits[limit];
  if (file.size > most) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; the studio allows ` +
      `${+(most / 1e6).toFixed(1)} MB`);
  }
  const form = new FormData();
  form.append("file", file, file.name || "pasted.png");
  return form;
}

// Upload a clip and show the progress, because clips are large.
async function uploadClip(file, tell) {
  const form = await packed(file, "max_clip_bytes");
  const request = new XMLHttpRequest();
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    tell(event.loaded < event.total ? `Uploading… ${Math.floor((100 * event.loaded) / event.total)} %` : "Reading…");
  };
  await new Promise((done, fail) => {
    request.onload = done;
    request.onerror = () => fail(new Error("the studio does not answer. Is it still running?"));
    request.open("POST", "/api/clips");
    request.send(form);
  });
  if (request.status !== 201) {
    throw new Error(request.response?.error || `the studio answered with error ${request.status}`);
  }
  return request.response;
}

async function addFiles(role, files) {
  impasto.say("pictures", "");
  const zone = $(`.drop[data-role=${role}]`);
  const tell = (words) => { zone.dataset.words = words; };
  zone.classList.add("busy");
  tell("Reading…");
  try {
    for (const file of role === "styles" ? files : [...files].slice(0, 1)) {
      put(role, await (role === "clip" ? uploadClip(file, tell) : upload(file)));
    }
  } catch (error) {
    impasto.say("pictures", error.message);
  }
  zone.classList.remove("busy");
}

function put(role, picture) {
  if (role === "content") {
    impasto.pictures.content = picture;
    dropMasks("content");
  } else if (role === "clip") {
    impasto.pictures.clip = picture;
    dropMasks("clip");
  } else if (impasto.pictures.styles.length >= 8) {
    return impasto.say("pictures", "you can blend at most eight paintings. Remove one first.");
  } else {
    impasto.pictures.styles.push({ share: 1, mask: null, clip_mask: null, style_mask: null, ...picture });
    dropMasks();
  }
  changed();
}

// Names of the masks that belong to the photo and to the clip. They hold for the present paintings only.
impasto.MASKS = { content: "mask", clip: "clip_mask" };

function dropMasks(...roles) {
  for (const role of roles.length ? roles : Object.keys(impasto.MASKS)) {
    for (const each of impasto.pictures.styles) each[impasto.MASKS[role]] = null;
    const picture = impasto.pictures[role];
    if (picture) picture.strokes = picture.overlay = null;
  }
}
impasto.put = put;

function changed() {
  remember();
  draw();
  for (const kind of Object.keys(needs)) askEstimate(kind);
}
impasto.changed = changed;

function draw() {
  const { styles } = impasto.pictures;
  if (!$(".drop .shown")) return;
  for (const role of ["content", "clip"]) {
    const zone = $(`.drop[data-role=${role}]`), one = impasto.pictures[role];
    zone.classList.toggle("full", !!one);
    $(".shown", zone).replaceChildren(...(one ? [tile(one, role, 0)] : []));
  }
  $(".picker .styles").replaceChildren(...styles.map((each, index) => tile(each, "styles", index)));
  $(".drop[data-role=styles]").classList.toggle("more", styles.length > 0);
}

function tile(picture, role, index) {
  const folder = role === "clip" ? "clips" : "pictures";
  const image = element("img", { src: `/api/${folder}/${picture.id}`, alt: picture.name });
  const frame = element("div", { className: "frame" }, image);
  if (picture.overlay) frame.append(element("img", { src: picture.overlay, className: "veil", alt: "" }));
  const name = element("span", { className: "name", title: picture.name, textContent: picture.name });
  const remove = element("button", { type: "button", textContent: "✕", className: "remove" });
  remove.setAttribute("aria-label", `Remove ${picture.name}`);
  remove.onclick = () => {
    if (role === "styles") impasto.pictures.styles.splice(index, 1);
    else impasto.pictures[role] = null;
    dropMasks(...(role === "styles" ? [] : [role]));
    changed();
  };
  const masked = role === "styles" ? picture.style_mask
    : impasto.pictures.styles.some((each) => each[impasto.MASKS[role]]);
  const mask = element("button", { type: "button", className: "mask" }, masked ? "Mask ✓" : "Mask…");
  mask.setAttribute("aria-label", role === "styles" ? `Mask ${picture.name}: choose the part to take the style from`
    : "Mask: choose where each painting's style goes");
  mask.onclick = () => impasto.openMasks(role, index);
  const facts = role === "clip" ? [element("small", { textContent: length(picture) })] : [];
  const made = element("div", { className: "tile" }, frame, remove,
    element("div", { className: "caption" }, name, ...facts, mask));
  if (role === "styles" && impasto.pictures.styles.length > 1) {
    made.style.setProperty("--own", impasto.COLORS[index]);
    const output = element("output", { textContent: percent(picture.share) });
    const range = element("input", { type: "range", min: 0, max: 2, step: 0.05, value: picture.share });
    range.setAttribute("aria-label", `Weight of ${picture.name}`);
    range.oninput = () => { picture.share = +range.value; output.textContent = percent(range.value); };
    range.onchange = remember;
    made.append(element("label", { className: "share" }, range, output));
  }
  return made;
}
const length = ({ frames, seconds, rate, width, height }) => [
  frames ? counted(frames, "frame") : "", seconds ? `${seconds.toFixed(1)} s` : `${rate.toFixed(1)} frames/s`,
  `${width} × ${height}`,
].filter(Boolean).join(" · ");
const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const percent = (share) => `${Math.round(share * 100)} %`;

document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.matches?.(".choose input[type=file]")) {
    addFiles(input.dataset.role, [...input.files]).then(() => { input.value = ""; });
  } else if (input.matches?.("input[name^=recipe-]")) {
    const kind = input.name.slice("recipe-".length);
    impasto.recipes[kind] = input.value;
    remember();
    fill(kind, { recipe: input.value });
  }
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    const zone = event.target.closest?.(".picker");
    $$(".picker.over").forEach((each) => each.classList.remove("over"));
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (!zone) return;
    if (name === "dragover") zone.classList.add("over");
    if (name !== "drop") return;
    const files = [...event.dataTransfer.files];
    const isClip = zone.dataset.role === "content" && files[0].type.startsWith("video/");
    if (isClip) openTab("video");
    addFiles(isClip ? "clip" : zone.dataset.role, files);
  });
}

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])].filter((each) => each.type.startsWith("image/"));
  if (!files.length || event.target.closest?.("dialog")) return;
  const near = event.target.closest?.(".picker")?.dataset.role;
  addFiles(near ?? (impasto.pictures.content ? "styles" : "content"), files);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (!button) return;
  if (button.dataset.gallery) openGallery(button.dataset.gallery);
  if (button.dataset.camera) openCamera(button.dataset.camera);
  if (button.id === "tone") setTone(!document.body.classList.contains("dark"));
});

function openGallery(role) {
  const dialog = $("#gallery");
  const names = $(".pickers").dataset.examples.split(" ");
  const paintings = (name) => name.includes("van_gogh");
  names.sort((a, b) => (paintings(a) - paintings(b)) * (role === "styles" ? -1 : 1));
  $("#gallery-title").textContent = role === "styles" ? "Choose a painting" : "Choose a photo";
  $(".tiles", dialog).replaceChildren(...names.map((name) => {
    const title = name.replace(/\.\w+$/, "").replace(/_van_gogh$/, ", van Gogh").replaceAll("_", " ");
    const button = element("button", { type: "button" },
      element("img", { src: `/look/gallery/${name.replace(/\.\w+$/, ".jpg")}`, alt: "" }),
      element("span", { textContent: title[0].toUpperCase() + title.slice(1) }));
    button.onclick = async () => {
      dialog.close();
      const file = await fetch(`/look/examples/${name}`).then((answer) => answer.blob());
      addFiles(role, [new File([file], name, { type: file.type })]);
    };
    return button;
  }));
  dialog.showModal();
}

async function openCamera(role) {
  const dialog = $("#camera"), video = $("video", dialog);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1920, facingMode: "environment" } });
  } catch {
    return impasto.say("pictures", "this page cannot use a camera. Choose a file instead.");
  }
  video.srcObject = stream;
  dialog.onclose = () => stream.getTracks().forEach((track) => track.stop());
  $("[data-snap]", dialog).onclick = () => {
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => addFiles(role, [new File([blob], "camera.png", { type: "image/png" })]));
    dialog.close();
  };
  dialog.showModal();
}

// ---- forms -----------------------------------------------------------------------------------

// The state of the page that Python needs besides the values of the form.
impasto.state = (kind) => {
  const { content, clip, styles } = impasto.pictures;
  const some = (name) => (styles.some((each) => each[name]) ? styles.map((each) => each[name]) : null);
  return JSON.stringify({
    recipe: impasto.recipes[kind] ?? "default",
    shares: styles.map((each) => each.share),
    pictures: {
      content: content?.id ?? null, clip: clip?.id ?? null, styles: styles.map((each) => each.id),
      masks: some(impasto.MASKS[kind === "video" ? "clip" : "content"]), style_masks: some("style_mask"),
    },
  });
};

impasto.begun = (kind, text) => {
  const answer = JSON.parse(text);
  impasto.say(kind, answer.error ?? "");
  if (answer.job) {
    impasto.watch(answer.job);
    if ($("#easel").getBoundingClientRect().top < 0 || matchMedia("(max-width: 820px)").matches) {
      $("#wall").scrollIntoView({ behavior: "smooth" });
    }
  }
};

const needs = { stylize: ["content", "styles"], video: ["clip", "styles"], texture: ["styles"],
  recolor: ["content", "styles"], reconstruct: ["content"] };
const missingFor = (kind) => needs[kind].filter((each) => {
  const given = impasto.pictures[each];
  return Array.isArray(given) ? !given.length : !given;
});

function askEstimate(kind) {
  const line = $(`#shown-estimate-${kind}`);
  if (!line) return;
  const missing = missingFor(kind);
  line.classList.toggle("wanting", missing.length > 0);
  if (missing.length) {
    const words = { content: "a photo", clip: "a clip", styles: "a painting" };
    if (kind === "stylize") setTimeout(showCost);
    line.textContent = `First choose ${missing.map((each) => words[each]).join(" and ")}.`;
    return;
  }
  line.textContent = "Estimating time and memory…";
  $(`#estimate-${kind}`)?.click();
}
impasto.askEstimate = askEstimate;

impasto.estimated = (kind, text) => {
  const answer = JSON.parse(text || "{}"), line = $(`#shown-estimate-${kind}`);
  if (!line) return;
  if (missingFor(kind).length) return askMissing(kind);
  line.classList.toggle("wanting", !!answer.error);
  if (/no estimate yet/.test(answer.error ?? "")) {
    answer.error = "no estimate yet: the studio is busy painting. The page asks again soon.";
    clearTimeout(impasto.later);
    impasto.later = setTimeout(() => $(`#estimate-${kind}`)?.click(), 15000);
  }
  line.textContent = answer.error ? impasto.sentence(answer.error)
    : `${answer.frames ? `${counted(answer.frames, "frame")} of ` : ""}${answer.width} × ${answer.height} px` +
      ` · about ${spoken(answer.seconds)}` +
      ` · ${memory(answer.memory)} of memory${answer.measured ? "" : " (roughly)"}` + tooLong(answer);
  if (kind === "stylize") showCost();
};
function askMissing(kind) {
  const line = $(`#shown-estimate-${kind}`);
  if (!line.classList.contains("wanting")) askEstimate(kind);
}
const tooLong = ({ seconds }) => impasto.limits && seconds > impasto.limits.max_time
  ? `. The studio stops the job after ${spoken(impasto.limits.max_time)} and keeps the picture as it is then.` : "";
const spoken = (seconds) => seconds < 90 ? `${Math.max(1, Math.round(seconds))} s`
  : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
const memory = (bytes) => bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;

// Values for the forms, until Gradio asks for them.
let wanted = {};
impasto.wanted = (kind) => [JSON.stringify(wanted[kind] ?? { recipe: "default" })];
function fill(kind, what) {
  wanted[kind] = what;
  const button = $(`#set-${kind}`);
  if (button) button.click();
  else setTimeout(() => wanted[kind] === what && fill(kind, what), 100); // wait for its tab
}

document.addEventListener("click", (event) => {
  const tab = event.target.closest?.("#kinds button[role=tab]");
  if (!tab) return;
  document.body.dataset.kind = tab.textContent.trim().toLowerCase();
  if (tab.textContent.trim() === "Grid") setTimeout(showCost, 100);
  const kind = Object.keys(titles).find((each) => titles[each] === tab.textContent.trim());
  const ask = (left) => {
    if ($(`#estimate-${kind}`)) askEstimate(kind);
    else if (left) setTimeout(ask, 100, left - 1);
  };
  if (kind) ask(50);
});
function showCost() {
  const line = $("#shown-estimate-grid"), each = $("#shown-estimate-stylize");
  if (line && each) line.classList.toggle("wanting", !/about/.test(each.textContent));
  if (line && each) line.textContent = /about/.test(each.textContent) ? `Each picture: ${each.textContent}` : each.textContent;
}
const titles = { stylize: "Paint", video: "Video", texture: "Texture", recolor: "Recolor", reconstruct: "Reconstruct" };

function openTab(kind) {
  $$("#kinds button[role=tab]").find((each) => each.textContent.trim() === titles[kind])?.click();
}

// "Use these settings again": load the pictures, the recipe and the settings of a job.
impasto.again = async (job) => {
  const { request } = job, given = request.pictures;
  const kind = job.kind === "preview" ? "video" : job.kind;
  const known = async (id) => ({ id, ...(await impasto.ask(`/look/pictures/${id}`)) });
  try {
    if (given.content) impasto.pictures.content = await known(given.content);
    if (given.clip) impasto.pictures.clip = await impasto.ask(`/look/clips/${given.clip}`);
    if (given.styles) {
      const weights = [request.settings.style_weight].flat(), most = Math.max(...weights);
      impasto.pictures.styles = await Promise.all(given.styles.map(async (id, index) => ({
        ...(await known(id)), share: (weights[index] ?? most) / most || 1,
        mask: null, clip_mask: null,
        [impasto.MASKS[given.clip ? "clip" : "content"]]: given.masks?.[index] ?? null,
        style_mask: given.style_masks?.[index] ?? null,
      })));
    }
  } catch (error) {
    return impasto.say("pictures", error.message);
  }
  openTab(kind);
  chooseRecipe(kind, request.recipe);
  fill(kind, { recipe: request.recipe, settings: request.changes, options: request.options });
  changed();
  $("#work").scrollIntoView({ behavior: "smooth" });
};

function chooseRecipe(kind, recipe, left = 50) {
  if (!(kind in impasto.recipes)) return;
  impasto.recipes[kind] = recipe;
  const card = $(`input[name=recipe-${kind}][value="${recipe}"]`);
  if (card) card.checked = true;
  else if (left) setTimeout(chooseRecipe, 100, kind, recipe, left - 1); // wait for its tab
}

// ---- memory of this tab -----------------------------------------------------------------------

function remember() {
  const { content, clip, styles } = impasto.pictures;
  const bare = (each) => each && { ...each, overlay: undefined, strokes: undefined };
  sessionStorage.setItem("impasto", JSON.stringify({
    content: bare(content), clip: bare(clip), styles: styles.map(bare), recipes: impasto.recipes,
  }));
}

async function recall() {
  const kept = JSON.parse(sessionStorage.getItem("impasto") || "null");
  if (!kept) return;
  const there = (each) => each && impasto.ask(`/look/pictures/${each.id}`).then(() => each, () => null);
  impasto.pictures.content = await there(kept.content);
  impasto.pictures.styles = (await Promise.all(kept.styles.map(there))).filter(Boolean);
  if (kept.clip) {
    impasto.pictures.clip = await impasto.ask(`/look/clips/${kept.clip.id}`).catch(() => null);
  }
  for (const [kind, recipe] of Object.entries(kept.recipes ?? {})) {
    if (recipe === "default") continue;
    chooseRecipe(kind, recipe, 1e9);
    fill(kind, { recipe });
  }
}

function setTone(dark) {
  document.body.classList.toggle("dark", dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  localStorage.setItem("impasto-tone", dark ? "dark" : "light");
}

// Wait until Gradio has drawn the page.
(async function begin() {
  while (!$(".pickers") || !$("#easel .easel") || !$("#start-stylize") || !$("#set-stylize")) {
    await new Promise((go) => setTimeout(go, 50));
  }
  document.documentElement.lang = "en";
  const tone = localStorage.getItem("impasto-tone");
  if (tone) setTone(tone === "dark");
  impasto.ask("/api/limits").then((found) => { impasto.limits = found; }, () => {});
  await recall();
  changed();
  document.body.dataset.ready = "yes";
  impasto.find();
})();
