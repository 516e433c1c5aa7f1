// The easel: the picture being painted, its job, and the history. It uses the HTTP API only.
"use strict";

(() => {
  const $ = (query, from = document) => from.querySelector(query);
  const $$ = (query, from = document) => [...from.querySelectorAll(query)];
  const ALIVE = ["queued", "running", "paused"];
  const WORDS = { queued: "Waiting", running: "Painting", paused: "Paused", done: "Done",
    stopped: "Stopped, picture kept", failed: "Failed", cancelled: "Cancelled" };
  let id = null, job = null, shown = -1, curved = 0, comparing = false, cells = null;
  let asked = 0, answered = 0, open = 0, ticking = false;

  impasto.watch = (job_id) => {
    if (id !== job_id) {
      [job, shown, comparing, cells, open] = [null, -1, false, null, 0];
      const image = $("#easel .after");
      image.hidden = true;
      image.removeAttribute("src");
      closeFilm();
      $("#easel .curve").hidden = true;
      $("#easel .keep").hidden = true;
      $("#easel details.steer").open = false;
      $("#easel .message").textContent = "";
    }
    id = job_id;
    sessionStorage.setItem("impasto-job", id);
    look();
    history();
  };

  // After a reload: show this tab's job, or else an unfinished job of the session.
  impasto.find = async () => {
    const mine = sessionStorage.getItem("impasto-job");
    const jobs = await impasto.ask("/api/jobs").catch(() => []);
    const found = jobs.find((each) => each.id === mine) ?? jobs.find((each) => ALIVE.includes(each.state));
    if (found) impasto.watch(found.id);
    else history();
  };

  // ---- the job -------------------------------------------------------------------------------

  // If the server is slow, wait for its answer before the next request. Otherwise every answer would be
  // outdated when it arrives, and the page would show nothing.
  async function look() {
    if (!id) return;
    const mine = id, number = ++asked;
    let found;
    open += 1;
    try {
      found = await impasto.ask(`/api/jobs/${mine}`);
      $("#easel").classList.remove("lost");
    } catch (error) {
      if (mine !== id) return;
      $("#easel").classList.add("lost");
      message(error.message);
      if (/no such/.test(error.message)) forget();
      return;
    } finally {
      if (mine === id) open -= 1;
    }
    // Ignore an answer that arrives after a newer one.
    if (mine !== id || number < answered) return;
    answered = number;
    const before = job;
    job = { ...found, received: performance.now() };
    if (before && /does not answer/.test($("#easel .message").textContent)) message("");
    if (!cells) show(before);
    if (before && (before.state !== job.state || !before.previews !== !job.previews)) history();
  }

  function show(before) {
    const easel = $("#easel .easel");
    const ended = !ALIVE.includes(job.state);
    easel.dataset.state = job.state;
    $(".status", easel).hidden = false;
    $(".canvas", easel).hidden = false;
    $(".grid-view", easel).hidden = true;
    picture(easel);
    const place = job.position ? `, number ${job.position} in the queue` : "";
    $(".state", easel).textContent = `${WORDS[job.state]}${place}${job.state === "running" ? stage() : ""}`;
    if (job.error) message(job.error);
    else if (!before || before.error) message("");
    $(".notes", easel).textContent = job.notes.map(impasto.sentence).join("; ");
    const bar = $("progress", easel);
    bar.hidden = ended && !["failed"].includes(job.state);
    const part = share();
    if (job.state === "running" && part === null) bar.removeAttribute("value");
    else bar.value = part ?? 0;
    for (const button of $$("[data-do]", easel)) {
      const name = button.dataset.do;
      button.hidden = !{
        pause: job.state === "running", resume: ["paused", "failed"].includes(job.state),
        stop: ["running", "paused"].includes(job.state) && (job.clip ? job.clip.done : job.step) > 0,
        cancel: !ended,
        compare: job.has_result && !!job.request.pictures.content, again: ended, delete: ended,
      }[name];
    }
    const weighty = ["running", "paused"].includes(job.state) && "style_weight" in job.request.settings &&
      job.kind === "stylize";
    $(".steer", easel).hidden = !weighty;
    if (!before || before.id !== job.id) steer(easel);
    facts();
    if (performance.now() - curved > 1000 || ended) curve(easel);
    if (job.has_result && $(".keep", easel).hidden) keep(easel);
    if (!job.has_result) $(".keep", easel).hidden = true;
  }

  // The current part of a picture or clip, in words.
  function stage() {
    const { clip } = job;
    if (clip?.encoding) return " · writing the clip";
    if (clip?.stages > 1) return ` · pass ${clip.stage} of ${clip.stages}`;
    return !clip && job.levels > 1 ? ` · size ${job.level} of ${job.levels}` : "";
  }

  // The finished share of a job, from 0 to 1; null: unknown.
  function share() {
    const { clip, count, step } = job;
    if (!clip) return count ? step / count : null;
    if (!clip.frames || !clip.frame) return null;
    const now = job.kind === "video" && count ? step / count : 0;
    return Math.min(1, (clip.done + now) / (clip.frames * (clip.stages ?? 1)));
  }

  // Show a painted clip in place of the picture.
  function film(easel) {
    const shown = $(".film", easel), path = `/api/jobs/${id}/result?format=mp4`;
    const there = job.kind === "video" && job.has_result;
    shown.hidden = !there;
    if (there && shown.getAttribute("src") !== path) {
      shown.poster = `/api/jobs/${id}/preview?n=${job.previews}`;
      shown.src = path;
    }
    return there;
  }

  function closeFilm() {
    const shown = $("#easel .film");
    shown.hidden = true;
    shown.removeAttribute("src");
    shown.load();
  }

  function picture(easel) {
    const image = $(".after", easel);
    $(".empty", easel).hidden = job.previews > 0;
    if (!job.previews) {
      $(".empty .big", easel).textContent = { queued: "Your picture is in the queue", running: "Preparing…",
        failed: "There is no picture", cancelled: "Cancelled" }[job.state] ?? "";
      for (const each of $$(".empty p:not(.big)", easel)) each.hidden = true;
    } else if (job.previews !== shown) {
      shown = job.previews;
      const next = new Image(), mine = id;
      next.onload = () => {
        if (mine !== id) return;
        image.src = next.src;
        image.hidden = job.kind === "video" && job.has_result;
        image.dataset.preview = shown;
      };
      next.src = `/api/jobs/${id}/preview?n=${job.previews}`;
      image.alt = job.state === "done" ? "The finished picture" : "The picture so far";
    }
    if (film(easel)) image.hidden = true;
    for (const each of [$(".before", easel), $(".divider", easel), $(".wipe", easel)]) {
      each.hidden = !(comparing && job.has_result);
    }
    if (comparing && job.has_result) {
      $(".before", easel).src = `/api/pictures/${job.request.pictures.content}`;
      wipe(easel);
    }
    $("[data-do=compare]", easel).setAttribute("aria-pressed", comparing);
  }

  function wipe(easel) {
    const at = $(".wipe", easel).value;
    $(".canvas", easel).style.setProperty("--at", `${at}%`);
  }

  function facts() {
    if (!job || cells) return;
    // Between two reports of the worker, count the seconds here.
    const since = job.state === "running" && job.reported
      ? Math.max(0, (performance.now() - job.received) / 1000) : 0;
    const rows = [];
    if (job.clip?.frame) {
      const name = job.kind === "video" ? "Frame" : "Picture";
      rows.push([name, job.clip.frames ? `${job.clip.frame} of ${job.clip.frames}` : `${job.clip.frame}`]);
    }
    const whole = job.clip && (job.kind !== "video" || job.has_result);
    if (job.count && !whole) rows.push(["Step", `${job.step} of ${job.count}`]);
    if (job.seconds || job.state === "running") rows.push(["Elapsed", impasto.time(clock(job, since))]);
    if (job.remaining !== null && ["running", "paused"].includes(job.state)) {
      rows.push(["Remaining", impasto.time(job.remaining - since)]);
    }
    for (const [name, title] of [["content", "Content loss"], ["style", "Style loss"]]) {
      if (job.losses?.[name] !== undefined) rows.push([title, job.losses[name].toPrecision(3)]);
    }
    $("#easel .facts").replaceChildren(...rows.map(([name, value]) => impasto.element("div", {},
      impasto.element("dt", { textContent: name }), impasto.element("dd", { textContent: value }))));
  }

  // The painting time: the worker's clock at its last report, then the clock of the page.
  function clock(of, since) {
    if (of.state !== "running") return of.seconds;
    if (!of.reported) return (Date.now() / 1000) - (of.started ?? Date.now() / 1000);
    of.lag ??= Math.min(30, Math.max(0, Date.now() / 1000 - of.reported));
    return of.seconds + of.lag + since;
  }

  async function curve(easel) {
    curved = performance.now();
    const mine = id, points = await impasto.ask(`/api/jobs/${id}/losses`).catch(() => []);
    if (mine !== id || points.length < 2) return;
    const first = points[0].step, last = points.at(-1).step, lines = {};
    const values = points.flatMap((each) => [each.content, each.style]).filter((each) => each > 0);
    const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
    for (const name of ["content", "style"]) {
      lines[name] = points.filter((each) => each[name] > 0).map((each) =>
        `${(((each.step - first) / (last - first || 1)) * 300).toFixed(1)},${(76 - ((Math.log(each[name]) - low) / (high - low || 1)) * 72).toFixed(1)}`);
    }
    $(".curve svg", easel).innerHTML = Object.entries(lines).map(([name, each]) =>
      `<polyline class="${name}" points="${each.join(" ")}"/>`).join("");
    $(".curve", easel).hidden = false;
  }

  function steer(easel) {
    for (const range of $$(".steer input", easel)) {
      const weight = Math.max(...[job.request.settings[range.name] ?? 1].flat());
      range.dataset.base = weight || 1;
      range.value = 0;
      range.nextElementSibling.textContent = `${weight}`;
    }
  }

  document.addEventListener("input", (event) => {
    const range = event.target;
    if (range.closest?.(".steer")) range.nextElementSibling.textContent = `${weight(range)}`;
    if (range.matches?.(".wipe")) wipe($("#easel .easel"));
  });
  document.addEventListener("change", async (event) => {
    const range = event.target;
    if (!range.closest?.(".steer")) return;
    let value = weight(range);
    const own = job.request.settings[range.name];
    if (Array.isArray(own)) value = own.map((each) => (each / Math.max(...own)) * value);
    await command(() => impasto.ask(`/api/jobs/${id}`, { method: "PATCH",
      headers: { "content-type": "application/json" }, body: JSON.stringify({ [range.name]: value }) }));
  });
  const weight = (range) => +(range.dataset.base * 10 ** range.value).toPrecision(2);

  async function command(call) {
    message("");
    try { await call(); } catch (error) { message(error.message); }
    look();
  }

  function message(text) {
    $("#easel .message").textContent = impasto.sentence(text);
  }

  function forget() {
    sessionStorage.removeItem("impasto-job");
    [id, job] = [null, null];
    const easel = $("#easel .easel");
    easel.dataset.state = "empty";
    closeFilm();
    for (const each of [".status", ".after", ".before", ".divider", ".wipe"]) $(each, easel).hidden = true;
    $(".empty", easel).hidden = false;
    $(".empty .big", easel).textContent = "Your picture appears here";
    for (const each of $$(".empty p:not(.big)", easel)) each.hidden = false;
    history();
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button");
    if (!button) return;
    const what = button.dataset.do;
    if (["pause", "resume", "stop", "cancel"].includes(what)) {
      button.disabled = true;
      await command(() => impasto.ask(`/api/jobs/${id}/${what}`, { method: "POST" }));
      button.disabled = false;
    } else if (what === "compare") {
      comparing = !comparing;
      show(job);
    } else if (what === "again") impasto.again(job);
    else if (what === "delete") {
      await command(() => impasto.ask(`/api/jobs/${id}`, { method: "DELETE" }));
      forget();
    } else if (button.dataset.copy) {
      const text = $(`[data-code=${button.dataset.copy}]`).textContent;
      const copied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
      if (!copied) getSelection().selectAllChildren($(`[data-code=${button.dataset.copy}]`));
      button.textContent = copied ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }
  });

  // ---- downloads -----------------------------------------------------------------------------

  async function keep(easel) {
    $(".keep", easel).hidden = false;
    const link = (text, path, title) =>
      impasto.element("a", { href: `/api/jobs/${id}/${path}`, download: "", textContent: text, title });
    const rows = job.kind === "video" ? [link("MP4", "result?format=mp4", "H.264, with the clip's sound if it was kept")] : [
      link("PNG", "result?format=png", "8 bits per channel, contains the settings"),
      link("JPEG", "result?format=jpg", "a smaller file, contains the settings"),
      link("TIFF, 16 bit", "result?format=tiff", "16 bits per channel, contains the settings"),
    ];
    if (job.count > 1 && !job.clip) rows.push(link("Time-lapse", "timelapse?format=webp", "an animated WebP"),
      link("Time-lapse as GIF", "timelapse?format=gif", "an animated GIF"));
    $(".downloads", easel).replaceChildren(...rows);
    const mine = id, lines = await impasto.ask(`/api/jobs/${id}/reproduction`).catch(() => null);
    if (!lines || mine !== id) return;
    for (const name of ["command", "python"]) $(`[data-code=${name}]`, easel).textContent = lines[name];
  }

  // ---- history -------------------------------------------------------------------------------

  async function history() {
    const jobs = await impasto.ask("/api/jobs").catch(() => null);
    if (!jobs) return;
    const section = $("#history .history");
    section.hidden = jobs.length === 0;
    $(".strip", section).replaceChildren(...jobs.slice(0, 60).map((each) => {
      const what = each.kind === "stylize" ? each.request.recipe
        : { video: "clip", preview: "preview sheet" }[each.kind] ?? each.kind;
      const changes = Object.entries(each.request.changes ?? {}).slice(0, 3)
        .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`).join(", ");
      const picture = each.previews
        ? impasto.element("img", { src: `/api/jobs/${each.id}/preview?n=${each.previews}`, alt: "" })
        : impasto.element("i", { className: "blank" });
      const button = impasto.element("button", { type: "button", title: changes }, picture,
        impasto.element("b", { textContent: what }),
        impasto.element("small", { textContent: each.state === "done" ? changes || "default settings" : WORDS[each.state] }));
      button.setAttribute("aria-current", each.id === id);
      button.onclick = () => { impasto.watch(each.id); };
      return button;
    }));
    const waiting = await impasto.ask("/api/queue").catch(() => null);
    $("#queue-note").textContent = waiting?.waiting ? `${waiting.waiting} in the queue` : "";
  }

  // ---- grids ---------------------------------------------------------------------------------

  impasto.grid = (text) => {
    const answer = JSON.parse(text);
    impasto.say("grid", answer.error ?? "");
    if (answer.error) return;
    const easel = $("#easel .easel");
    cells = answer;
    id = null;
    $(".status", easel).hidden = true;
    $(".canvas", easel).hidden = true;
    const made = impasto.element, view = $(".grid-view", easel);
    const head = made("tr", {}, made("td"), ...answer.across.map((each) => made("th", { scope: "col", textContent: each })));
    const rows = answer.cells.map((row, number) => made("tr", {},
      made("th", { scope: "row", textContent: answer.down[number] }),
      ...row.map((each) => {
        const button = made("button", { type: "button" }, made("span", { textContent: "Waiting" }));
        button.dataset.cell = each;
        button.onclick = () => impasto.watch(each);
        return made("td", {}, button);
      })));
    view.replaceChildren(made("table", {}, head, ...rows));
    view.hidden = false;
    tick();
    history();
  };

  async function tick() {
    ticking = true;
    await lookAtCells().catch(() => null);
    ticking = false;
  }

  async function lookAtCells() {
    for (const button of $$("[data-cell]")) {
      if (button.dataset.ended) continue;
      const found = await impasto.ask(`/api/jobs/${button.dataset.cell}`).catch(() => null);
      if (!found) continue;
      if (found.previews && button.dataset.shown !== `${found.previews}`) {
        button.dataset.shown = found.previews;
        button.replaceChildren(impasto.element("img", { alt: WORDS[found.state],
          src: `/api/jobs/${found.id}/preview?n=${found.previews}` }));
      } else if (!found.previews) button.firstChild.textContent = found.error || WORDS[found.state];
      if (!ALIVE.includes(found.state)) {
        button.dataset.ended = "yes";
        history();
      }
    }
  }

  setInterval(() => { if (job && ALIVE.includes(job.state) && !cells && !open) look(); }, 500);
  setInterval(facts, 250);
  // An open page asks for all its jobs regularly. Otherwise the server stops them after a while.
  setInterval(async () => {
    const jobs = await impasto.ask("/api/jobs").catch(() => []);
    for (const each of jobs) {
      if (ALIVE.includes(each.state)) impasto.ask(`/api/jobs/${each.id}`).catch(() => null);
    }
  }, 15000);
  setInterval(() => { if (cells && !ticking) tick(); else if (id && !job && !open) look(); }, 1000);
})();
