"use strict";
// The blind test: two results at a time, in random order; names and counts at the end.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const part = (id) => document.getElementById(id);
  const answers = []; // one per question, in order: {choice: 0 (left), 1 (right) or null, seconds}
  let shown = 0; // when the question appeared, in ms
  let ended = false;

  function below(limit) {
    // A random whole number in [0, limit).
    return Math.floor((crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32) * limit);
  }

  function shuffled(list) {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last -= 1) {
      const other = below(last + 1);
      [copy[last], copy[other]] = [copy[other], copy[last]];
    }
    return copy;
  }

  // Each question has the methods at its left and right.
  const questions = shuffled(data.questions).map((each) => {
    const sides = shuffled([0, 1]);
    return { ...each, sides: sides.map((side) => each.methods[side]),
      shown: sides.map((side) => each.pictures[side]) };
  });

  function name(method) {
    const bytes = Uint8Array.from(atob(data.methods[method]), (each) => each.charCodeAt(0));
    return new TextDecoder().decode(bytes);
  }

  function show(id) {
    for (const each of ["question", "answer", "nothing"]) part(each).hidden = each !== id;
  }

  function ask() {
    if (answers.length === questions.length) return end();
    const question = questions[answers.length];
    const pictures = [...question.inputs, ...question.shown];
    ["photo", "painting", "left-picture", "right-picture"].forEach((id, index) => {
      part(id).src = data.pictures[pictures[index]];
    });
    part("count").textContent = `${answers.length + 1} of ${questions.length}`;
    part("back").disabled = answers.length === 0;
    part("end").disabled = answers.length === 0;
    show("question");
    // Else the space bar would press the last button again, for this question.
    if (document.activeElement) document.activeElement.blur();
    shown = performance.now();
    return undefined;
  }

  function choose(choice) {
    answers.push({ choice, seconds: Math.round(performance.now() - shown) / 1000 });
    ask();
  }

  function back() {
    if (answers.pop()) ask();
  }

  function wins() {
    const table = data.methods.map((_, method) => ({ method: name(method), hung: 0, equal: 0, not: 0 }));
    answers.forEach(({ choice }, index) => {
      questions[index].sides.forEach((method, side) => {
        table[method][choice === null ? "equal" : choice === side ? "hung" : "not"] += 1;
      });
    });
    return table.map(({ method, hung, equal, not }) => {
      const count = hung + equal + not;
      return { method, hung, equal, not_hung: not, share: count ? (hung + equal / 2) / count : null };
    }).sort((a, b) => (b.share ?? -1) - (a.share ?? -1));
  }

  function end() {
    ended = true;
    for (const each of wins()) {
      const row = part("wins").insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = each.method;
      row.append(head);
      const share = each.share === null ? "–" : `${Math.round(100 * each.share)} %`;
      for (const value of [each.hung, each.equal, each.not_hung, share]) {
        row.insertCell().textContent = value;
      }
    }
    part("total").textContent = `${answers.length} of ${questions.length} questions answered.`;
    show("answer");
    part("heading").focus();
  }

  function download() {
    const judged = answers.map(({ choice, seconds }, index) => {
      const { pair, sides } = questions[index];
      const [left, right] = sides.map(name);
      return { pair, left, right, hung: choice === null ? null : [left, right][choice], seconds };
    });
    const text = JSON.stringify({ methods: wins(), answers: judged }, null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "blind.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  part("left").addEventListener("click", () => choose(0));
  part("right").addEventListener("click", () => choose(1));
  part("equal").addEventListener("click", () => choose(null));
  part("back").addEventListener("click", back);
  part("end").addEventListener("click", end);
  part("download").addEventListener("click", download);
  document.addEventListener("keydown", (event) => {
    if (ended || !questions.length || event.repeat) return;
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === " " && event.target.closest("button")) return; // it presses this button
    const action = {
      ArrowLeft: () => choose(0), ArrowRight: () => choose(1), " ": () => choose(null),
      Backspace: back,
    }[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (answers.length && !ended) event.preventDefault(); // the answers would be lost
  });

  if (questions.length) ask();
  else show("nothing");
})();
