/* A report: one HTML file with the pictures as shown, what is said about them, and how to make them again. */

const REPORT_STYLE = `body {max-width: 1000px; margin: 2rem auto; padding: 0 1rem; font: 15px/1.5 ${FONT}; color: ${INK}; background: ${PAPER}}
h1 {font-size: 1.5rem} h2 {font-size: 1.1rem; margin-top: 2rem} svg {max-width: 100%; height: auto}
table {border-collapse: collapse} th, td {padding: 3px 14px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid #dfe2e8} th {font-weight: 600}
pre {padding: 12px 14px; white-space: pre-wrap; overflow-wrap: anywhere; background: ${AROUND}; border-radius: 6px; font-size: 13px}
.chip {display: inline-block; margin-right: 8px; padding: 0 9px; border: 1px solid ${FAINT}; border-radius: 11px; font-weight: 600} footer {margin-top: 2rem; color: ${FAINT}}`

const tableOf = rows => `<table>${rows.map(([name, value]) => `<tr><th scope="row">${escaped(name)}</th><td>${escaped(value)}</td></tr>`).join("")}</table>`

/* The controls that count now, with what they are set to. */
const choicesOf = viewer => [...viewer.controls.values()].filter(({box}) => !box.hidden).map(({control}) => {
  const value = viewer.settings[control.name]
  if (control.kind === "switch") return [control.label, value ? "on" : "off"]
  if (control.kind === "choice") return [control.label, control.options.find(([name]) => name === String(value))?.[1] ?? value]
  return [control.label, control.texts[control.values.indexOf(value)]]
})

const reportOf = viewer => {
  const {scene} = viewer, {recipe} = scene, title = document.querySelector("h1")?.textContent ?? "WhyPixel"
  const said = [...viewer.root.querySelectorAll(".said .chip")].map(chip => `<span class="chip">${escaped(chip.textContent)}</span>`)
  const numbers = [...viewer.root.querySelectorAll(".numbers dt")].map(name => [name.textContent, name.nextElementSibling.textContent])
  const figure = drawingOf(viewer, viewer.pictures).svg({withRasters: true})
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escaped(`${title} ${scene.name}`)}</title><style>${REPORT_STYLE}</style>
<h1>${escaped(title)}</h1><p>${said.join("")}${escaped(viewer.sentence.textContent)}</p>${figure}
<h2>Numbers</h2>${tableOf(numbers)}<h2>Made from</h2>${tableOf([...recipe.facts, ...choicesOf(viewer)])}
<h2>Make it again in Python</h2><pre>${escaped(recipe.python)}</pre>
${recipe.shell ? `<h2>Make it again on the command line</h2><pre>${escaped(recipe.shell)}</pre>` : ""}
<footer>WhyPixel, ${new Date().toISOString().slice(0, 10)}, <a href="${escaped(location.href)}">${escaped(location.href)}</a></footer></html>`
}
