// Draws every chart of the page in the colours that the reader's system asks for, and again when that changes.
// `ast` interprets expressions instead of compiling them, so the page needs no right to eval.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
async function draw() {
  const ink = dark.matches ? "#e6e6e6" : "#1b1b1b", faint = dark.matches ? "#444" : "#ddd";
  const axis = {labelColor: ink, titleColor: ink, gridColor: faint, domainColor: faint, tickColor: faint,
    labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelLimit: 150};
  const legend = {labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 12, orient: "bottom", columns: 2};
  const config = {background: null, axis, axisQuantitative: {tickCount: 6}, axisTemporal: {grid: false}, legend,
    header: {labelColor: ink, titleColor: ink}, title: {color: ink}, view: {stroke: null}, text: {color: ink}};
  for (const holder of document.querySelectorAll("[data-chart]")) {
    const spec = JSON.parse(document.getElementById(holder.dataset.chart).textContent);
    try {
      await vegaEmbed(holder, spec, {mode: "vega-lite", renderer: "svg", actions: false, ast: true, config});
    } catch (error) {
      console.error(error);
      holder.textContent = "This chart cannot be drawn here; the table below has its numbers.";
    }
  }
  document.body.dataset.drawn = "yes";
}
let drawing = draw();
dark.addEventListener("change", () => { drawing = drawing.then(draw); });
