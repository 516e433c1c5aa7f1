// Masks. A mask on the photo, or on the first frame of a clip, says where each painting's style goes. A
// mask on a painting says which part of it the style is taken from.
"use strict";

(() => {
  const $ = (query, from = document) => from.querySelector(query);
  const $$ = (query, from = document) => [...from.querySelectorAll(query)];
  const SIDE = 1024; // long side of a mask, px; the studio resizes it to the picture
  const KEEP = "#ffffff"; // the color for areas that stay as in the photo
  let role, number, colors, chosen, canvas, context, undo, last;

  impasto.openMasks = (of, index) => {
    const { styles } = impasto.pictures;
    if (of !== "styles" && !styles.length) {
      return impasto.say("pictures", "first choose a painting. Then you can paint a mask.");
    }
    impasto.say("pictures", "");
    [role, number, undo, last] = [of, index, [], null];
    const picture = brushed();
    const scale = SIDE / Math.max(picture.width, picture.height, SIDE);
    const dialog = $("#masks");
    canvas = $("canvas", dialog);
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    context = canvas.getContext("2d", { willReadFrequently: true });
    context.lineCap = context.lineJoin = "round";
    if (picture.strokes) context.putImageData(picture.strokes, 0, 0);
    $(".board img", dialog).src = `/api/${of === "clip" ? "clips" : "pictures"}/${picture.id}`;
    $(".board", dialog).style.setProperty("--shape", `${picture.width} / ${picture.height}`);
    $(".board", dialog).style.setProperty("--ratio", picture.width / picture.height);
    colors = of !== "styles"
      ? [...styles.map((each, at) => [impasto.COLORS[at], styles.length > 1 ? each.name : "Paint this"]),
        [KEEP, "Keep the photo"]]
      : [[impasto.COLORS[index], "Use this part"]];
    colors.push(["", "Eraser"]);
    $("#masks-title").textContent = of !== "styles" ? "Where to paint" : `Which part of ${picture.name} to use`;
    $(".explain", dialog).textContent = of === "styles"
      ? "Brush over the part of the painting whose style you want."
      : styles.length > 1
        ? "Each painting has a color. Brush with it where you want that style, and with white where you want " +
          "to keep the photo. Areas without color get the style of the paintings that you did not use here. " +
          "If you used all of them, these areas stay as in the photo."
        : "Brush over the area to paint; the rest stays as in the photo. Or brush only with white, over the area " +
          "that stays as in the photo; the rest is painted.";
    if (of === "clip") $(".explain", dialog).textContent += " The mask applies to every frame.";
    $(".swatches", dialog).replaceChildren(
      impasto.element("legend", { textContent: "Brush" }),
      ...colors.map(([color, name], at) => {
        const input = impasto.element("input", { type: "radio", name: "swatch", value: at, checked: at === 0 });
        input.onchange = () => { chosen = at; };
        const dot = impasto.element("i");
        dot.style.background = color || "none";
        return impasto.element("label", { className: color ? "" : "eraser" }, input, dot,
          impasto.element("span", { textContent: name.replace(/\.\w+$/, ""), title: name }));
      }));
    chosen = 0;
    $("#feather", dialog).value = feather().value || 0;
    $("#feather", dialog).nextElementSibling.textContent = `${feather().value || 0} px`;
    $("#feather", dialog).parentElement.hidden = of === "styles";
    dialog.showModal();
  };

  const brushed = () => (role === "styles" ? impasto.pictures.styles[number] : impasto.pictures[role]);

  // The form's field for the soft edge. The slider of the dialog changes its value.
  const feather = () => $(role === "clip" ? "#video-feather input" : "#stylize-feather input");

  document.addEventListener("input", (event) => {
    if (event.target.id === "feather") event.target.nextElementSibling.textContent = `${event.target.value} px`;
  });

  function set_feather() {
    if (+feather().value === +$("#feather").value) return;
    feather().value = $("#feather").value;
    feather().dispatchEvent(new Event("input", { bubbles: true }));
    feather().dispatchEvent(new Event("change", { bubbles: true }));
  }

  // ---- brushing ------------------------------------------------------------------------------

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * canvas.width,
      ((event.clientY - box.top) / box.height) * canvas.height];
  }

  function stroke(from, to) {
    const color = colors[chosen][0];
    context.globalCompositeOperation = color ? "source-over" : "destination-out";
    context.strokeStyle = color || "#000";
    context.lineWidth = (+$("#brush-width").value / 100) * Math.max(canvas.width, canvas.height);
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }

  function save() {
    undo.push(context.getImageData(0, 0, canvas.width, canvas.height));
    if (undo.length > 20) undo.shift();
  }

  document.addEventListener("pointerdown", (event) => {
    if (!canvas || event.target !== canvas || event.button) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    save();
    last = place(event);
    stroke(last, last);
  });
  document.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(each);
      stroke(last, next);
      last = next;
    }
  });
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, () => { last = null; });
  }

  // Keyboard: arrows move a cursor, the space bar brushes.
  let cursor = null;
  document.addEventListener("keydown", (event) => {
    if (!canvas || event.target !== canvas) return;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    cursor ??= [canvas.width / 2, canvas.height / 2];
    if (move) {
      const step = canvas.width / 40;
      const next = [cursor[0] + move[0] * step, cursor[1] + move[1] * step];
      if (event.shiftKey) { save(); stroke(cursor, next); }
      cursor = next;
    } else if (event.key === " ") { save(); stroke(cursor, cursor); } else return;
    event.preventDefault();
  });

  // ---- from strokes to masks -----------------------------------------------------------------

  const channels = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

  // The number of the color of each pixel, or -1.
  function labels() {
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const known = colors.filter(([color]) => color).map(([color]) => channels(color));
    const found = new Int8Array(data.length / 4).fill(-1);
    for (let at = 0; at < found.length; at++) {
      if (data[4 * at + 3] < 128) continue;
      let least = Infinity;
      known.forEach((color, index) => {
        const far = color.reduce((sum, value, channel) => sum + (value - data[4 * at + channel]) ** 2, 0);
        if (far < least) [least, found[at]] = [far, index];
      });
    }
    return found;
  }

  function picture_of(test) {
    const made = impasto.element("canvas", { width: canvas.width, height: canvas.height });
    const image = new ImageData(canvas.width, canvas.height);
    for (let at = 0; at < image.data.length / 4; at++) {
      const value = test(at) ? 255 : 0;
      image.data.set([value, value, value, 255], 4 * at);
    }
    made.getContext("2d").putImageData(image, 0, 0);
    return new Promise((done) => made.toBlob(done, "image/png"));
  }

  async function use() {
    const found = labels(), { styles } = impasto.pictures;
    if (!found.some((each) => each >= 0)) return none();
    const send = async (test, name) =>
      (await impasto.upload(new File([await picture_of(test)], name, { type: "image/png" }))).id;
    if (role === "styles") {
      styles[number].style_mask = await send((at) => found[at] === 0, `style-mask-${number + 1}.png`);
    } else {
      set_feather();
      const used = styles.map((_, index) => found.includes(index));
      for (const [index, style] of styles.entries()) {
        style[impasto.MASKS[role]] = await send((at) => found[at] === index || (found[at] < 0 && !used[index]),
          `mask-${index + 1}.png`);
      }
    }
    const picture = brushed();
    picture.strokes = context.getImageData(0, 0, canvas.width, canvas.height);
    picture.overlay = canvas.toDataURL();
    close();
  }

  function none() {
    const { styles } = impasto.pictures;
    if (role === "styles") styles[number].style_mask = null;
    else for (const each of styles) each[impasto.MASKS[role]] = null;
    const picture = brushed();
    picture.strokes = picture.overlay = null;
    close();
  }

  function close() {
    $("#masks").close();
    canvas = null;
    impasto.changed();
  }

  async function load(file) {
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) { $("#masks .explain").textContent = `${file.name} is not a readable picture.`; return; }
    const [width, height] = [image.width, image.height], larger = Math.max(width, height);
    const scale = larger / Math.max(canvas.width, canvas.height);
    // A pixel more or less is rounding, of the canvas or of the mask.
    const slack = Math.max(1, scale);
    if (Math.abs(width - canvas.width * scale) > slack || Math.abs(height - canvas.height * scale) > slack) {
      $("#masks .explain").textContent = `${file.name} is ${width} x ${height} px, which is not the shape of the ` +
        `picture, ${brushed().width} x ${brushed().height}; any size of that shape is allowed.`;
      return;
    }
    const read = impasto.element("canvas", { width: canvas.width, height: canvas.height }).getContext("2d");
    read.drawImage(image, 0, 0, canvas.width, canvas.height);
    const { data } = read.getImageData(0, 0, canvas.width, canvas.height);
    save();
    const now = context.getImageData(0, 0, canvas.width, canvas.height);
    const color = channels(colors[chosen][0] || colors[0][0]);
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] > 127 && data[at] + data[at + 1] + data[at + 2] > 382) now.data.set([...color, 255], at);
    }
    context.putImageData(now, 0, 0);
  }

  async function download() {
    const found = labels(), at = colors[chosen][0] ? chosen : 0;
    const blob = await picture_of((pixel) => found[pixel] === at);
    const link = impasto.element("a", { href: URL.createObjectURL(blob), download: "mask.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  document.addEventListener("click", async (event) => {
    const what = event.target.closest?.("[data-mask]")?.dataset.mask;
    if (!what || !canvas) return;
    if (what === "use") {
      await use().catch((error) => { $("#masks .explain").textContent = error.message; });
    } else if (what === "none") none();
    else if (what === "close") { $("#masks").close(); canvas = null; }
    else if (what === "undo" && undo.length) context.putImageData(undo.pop(), 0, 0);
    else if (what === "clear") { save(); context.clearRect(0, 0, canvas.width, canvas.height); }
    else if (what === "download") download();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches?.("[data-mask-file]") || !event.target.files[0]) return;
    load(event.target.files[0]).then(() => { event.target.value = ""; });
  });
})();
