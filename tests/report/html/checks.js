// What is wrong with the figures of a page as they are drawn: texts that overlap or are cut, axes without a title or a
// unit, figures without marks. Hidden figures are shown one after the other by their lists. Evaluates to a promise.
(async () => {
  const wrong = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)));

  function texts(chart) {
    const shown = [...chart.querySelectorAll(".main-svg text, .main-svg .cbtitle text")].filter((text) => {
      const box = text.getBoundingClientRect();
      return box.width > 0 && box.height > 0 && !text.closest(".hoverlayer") && text.textContent.trim();
    });
    return [...new Set(shown)].map((text) => ({ words: text.textContent, box: text.getBoundingClientRect() }));
  }
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;

  function look(chart) {
    const found = texts(chart);
    const edge = chart.getBoundingClientRect();
    found.forEach((one, at) => {
      if (one.box.left < edge.left - 1 || one.box.right > edge.right + 1 || one.box.top < edge.top - 1 || one.box.bottom > edge.bottom + 1)
        wrong.push(`${chart.id}: "${one.words}" is cut`);
      for (const other of found.slice(at + 1))
        if (overlap(one.box, other.box)) wrong.push(`${chart.id}: "${one.words}" is over "${other.words}"`);
    });
    const layout = chart._fullLayout;
    for (const name of layout._subplots.xaxis.concat(layout._subplots.yaxis)) {
      const axis = layout[name.replace(/^([xy])/, "$1axis")];
      const title = axis.title.text ?? "";
      if (!title || title.startsWith("Click to enter")) wrong.push(`${chart.id}: ${name} has no title`);
      else if (axis.type !== "category" && !/\(.+\)$/.test(title)) wrong.push(`${chart.id}: ${name} "${title}" has no unit`);
    }
    if (!chart.querySelector(".mlayer path, .mlayer image")) wrong.push(`${chart.id}: is empty`);
    const area = layout._size;
    if (area.w < 120 || area.h < 40) wrong.push(`${chart.id}: only ${area.w} by ${area.h} pixels are left to the plot`);
  }

  let looked = 0;
  for (const chart of document.querySelectorAll(".chart")) {
    const list = [...document.querySelectorAll("select")].find((each) => [...each.options].some((o) => o.value === chart.id));
    if (list) {
      list.value = chart.id;
      list.dispatchEvent(new Event("change"));
      await frame();
    }
    look(chart);
    looked += 1;
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
  return { looked, wrong };
})()
