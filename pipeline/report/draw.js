// Draws every chart of the page in the colours that the reader's system asks for, and again when that changes.
// `ast` interprets expressions instead of compiling them, so the page needs no right to eval.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
async function draw() {
  const ink = dark.matches ? "#e6e6e6" : "#1b1b1b", faint = dark.matches ? "#444" : "#ddd";
  const axis = {labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint};
  const config = {background: null, axis, legend: {labelColor: ink, titleColor: ink, orient: "bottom", columns: 2},
    header: {labelColor: ink, titleColor: ink}, title: {color: ink}, view: {stroke: null}, text: {color: ink}};
  for (const holder of document.querySelectorAll("[data-chart]")) {
    const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
    await vegaEmbed(holder, spec, {mode: "vega-lite", renderer: "svg", actions: false, ast: true, config});
  }
  document.body.dataset.drawn = "yes";
}
let drawing = draw();
dark.addEventListener("change", () => { drawing = drawing.then(draw); });
