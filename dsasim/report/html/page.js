// Draws every figure when it is first in view of the reader, follows the theme, and lets a list choose between figures.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const templates = read("templates");
  const charts = [...document.querySelectorAll(".chart")];
  const drawn = new Set();
  let chosen = null;

  const theme = () => chosen ?? (system.matches ? "dark" : "light");
  const config = (chart) => ({
    displaylogo: false,
    responsive: true,
    toImageButtonOptions: { format: "png", filename: chart.id, scale: 3 },
    modeBarButtons: [["toImage", {
      name: "svg",
      title: "Download plot as an SVG",
      icon: Plotly.Icons.disk,
      click: (plot) => Plotly.downloadImage(plot, { format: "svg", filename: chart.id }),
    }], ["zoom2d", "pan2d", "resetScale2d"]],
  });

  function draw(chart) {
    if (drawn.has(chart)) return;
    drawn.add(chart);
    const { data, layout } = read(`${chart.id}-figure`);
    Plotly.newPlot(chart, data, { ...layout, template: templates[theme()] }, config(chart));
  }

  function paint() {
    root.dataset.theme = theme();
    for (const chart of drawn) Plotly.relayout(chart, { template: templates[theme()] });
  }

  for (const list of document.querySelectorAll("select")) {
    list.addEventListener("change", () => {
      for (const option of list.options) {
        const chart = document.getElementById(option.value);
        chart.hidden = !option.selected;
        if (option.selected) draw(chart);
      }
      dispatchEvent(new Event("resize"));
    });
  }
  document.getElementById("theme").addEventListener("click", () => {
    chosen = theme() === "dark" ? "light" : "dark";
    paint();
  });
  system.addEventListener("change", paint);
  paint();
  charts.filter((chart) => !chart.hidden).forEach(draw);
})();
