/* Pictures of what is on screen, at twice its size and on a light ground: the panels as the viewer paints them, and
   around them their titles, colour bars and classes as vectors. A PNG is the SVG drawn on a canvas. */

const SAVED_RATIO = 2
const PAPER = "#ffffff", AROUND = "#f5f6f8", INK = "#1b1f24", FAINT = "#4a5160"
const FONT = "Helvetica, Arial, sans-serif"
const EDGE = 14, GAP = 14

const escaped = text => String(text).replace(/[&<>"]/g, letter => `&#${letter.charCodeAt(0)};`)
const ruler = document.createElement("canvas").getContext("2d")
const widthOfText = (text, size, weight) => {
  ruler.font = `${weight} ${size}px ${FONT}`
  return ruler.measureText(text).width
}

/* Text in lines of a width; a word that is longer has a line of its own. */
const inLines = (text, width, size, weight = 400) => text.split(" ").reduce((lines, word) => {
  const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word
  return lines.length && widthOfText(longer, size, weight) <= width ? [...lines.slice(0, -1), longer] : [...lines, word]
}, []).filter(Boolean)

/* What is drawn: shapes as the text of an SVG, and the painted panels with their places. */
class Drawing {
  shapes = []
  rasters = []

  text(x, y, text, {size = 12, weight = 400, fill = INK, anchor = "start"} = {}) {
    this.shapes.push(`<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="${fill}" text-anchor="${anchor}">${escaped(text)}</text>`)
  }

  lines(x, y, lines, {height = 15, ...style}) { lines.forEach((line, index) => this.text(x, y + height * index, line, style)) }

  box(x, y, width, height, fill, stroke = "none") {
    this.shapes.push(`<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="${fill}" stroke="${stroke}"/>`)
  }

  bar(x, y, width, {stops, ticks, unit}) {
    const id = `bar${this.shapes.length}`, colours = stops.map((colour, index) =>
      `<stop offset="${index / (stops.length - 1)}" stop-color="${colour}"/>`)
    this.shapes.push(`<linearGradient id="${id}">${colours.join("")}</linearGradient>`)
    this.box(x, y, width, 8, `url(#${id})`)
    ticks.forEach(([tick, share], index) => this.text(x + width * share, y + 20, tick,
      {size: 11, anchor: index === 0 ? "start" : index === ticks.length - 1 ? "end" : "middle"}))
    this.lines(x + width / 2, y + 34, inLines(unit, width, 11), {size: 11, height: 13, anchor: "middle"})
  }

  svg({withRasters}) {
    const {width, height} = this, images = withRasters ? this.rasters.map(({canvas, x, y}) =>
      `<image x="${x}" y="${y}" width="${canvas.width / SAVED_RATIO}" height="${canvas.height / SAVED_RATIO}" style="image-rendering:pixelated" href="${canvas.toDataURL()}"/>`) : []
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}">` +
      `<rect width="${width}" height="${height}" fill="${PAPER}"/>${this.shapes.join("")}${images.join("")}</svg>`
  }

  async png() {
    const picture = new Image(), address = URL.createObjectURL(new Blob([this.svg({withRasters: false})], {type: "image/svg+xml"}))
    picture.src = address
    await picture.decode()
    URL.revokeObjectURL(address)
    const canvas = Object.assign(document.createElement("canvas"), {width: SAVED_RATIO * this.width, height: SAVED_RATIO * this.height})
    const context = canvas.getContext("2d")
    context.drawImage(picture, 0, 0, canvas.width, canvas.height)
    for (const {canvas: raster, x, y} of this.rasters) context.drawImage(raster, SAVED_RATIO * x, SAVED_RATIO * y)
    return new Promise((resolve, reject) => canvas.toBlob(made => made ? resolve(made) : reject(new Error("too large")), "image/png"))
  }
}

/* The panels with these indices as they are on screen. */
const drawingOf = (viewer, indices) => {
  const {scene, width, height} = viewer, drawing = new Drawing(), isTable = Boolean(scene.grid) && indices.length > 1
  const panels = viewer.onPaper(() => indices.map(index => viewer.pictureOf(index)))
  const count = isTable ? scene.grid.columns.length : Math.min(indices.length, viewer.across ?? 1)
  const left = EDGE + (isTable ? 128 : 0), place = column => left + column * (width + GAP)
  drawing.width = Math.ceil(place(count) - GAP + EDGE)
  let y = EDGE
  if (isTable) {
    const heads = scene.grid.columns.map(({text}) => inLines(text, width, 11, 600)), most = Math.max(...heads.map(lines => lines.length))
    heads.forEach((lines, column) =>
      drawing.lines(place(column) + width / 2, y + 11 + 13 * (most - lines.length), lines, {size: 11, weight: 600, height: 13, anchor: "middle"}))
    y += 13 * most + 6
  }
  for (let start = 0, row = 0; start < panels.length; row++) {
    const {group} = scene.panels[indices[start]]
    let end = start + 1
    while (end < panels.length && end - start < count && scene.panels[indices[end]].group === group) end++
    if (group && (!start || group !== scene.panels[indices[start - 1]].group)) {
      drawing.text(EDGE, y + 13, group, {size: 13, weight: 700})
      y += 24
    }
    const line = panels.slice(start, end)
    if (isTable) {
      drawing.lines(EDGE, y + height / 2, inLines(scene.grid.rows[row].text, 120, 12, 600), {weight: 600})
    } else {
      const captions = line.map(({title, note}) => [inLines(title, width, 13, 600), inLines(note, width, 12)])
      const most = Math.max(...captions.map(([titles, notes]) => titles.length + notes.length))
      captions.forEach(([titles, notes], column) => {
        const top = y + 12 + 16 * (most - titles.length - notes.length)
        drawing.lines(place(column), top, titles, {size: 13, weight: 600, height: 16})
        drawing.lines(place(column), top + 16 * titles.length, notes, {fill: FAINT, height: 16})
      })
      y += 16 * most + 4
    }
    line.forEach(({canvas, bar}, column) => {
      drawing.rasters.push({canvas, x: place(column), y})
      if (bar) drawing.bar(place(column), y + height + 6, width, bar)
    })
    const units = line.map(({bar}) => bar ? 28 + 13 * inLines(bar.unit, width, 11).length : 0)
    y += height + Math.max(...units) + GAP
    start = end
  }
  const classes = viewer.classesShown(indices.map(index => scene.panels[index]))
  let x = EDGE
  for (const {name, colour} of classes) {
    const wide = 17 + widthOfText(name, 12, 400)
    if (x > EDGE && x + wide > drawing.width - EDGE) {
      x = EDGE
      y += 18
    }
    drawing.box(x + 0.5, y + 0.5, 10, 10, colour ?? "none", colour ?? FAINT)
    drawing.text(x + 16, y + 10, name)
    x += wide + 14
  }
  drawing.height = Math.ceil(y + (classes.length ? 18 : 0) + (EDGE - GAP) + 2)
  return drawing
}

const save = (content, name) => {
  const address = URL.createObjectURL(content)
  element("a", {href: address, download: name}).click()
  setTimeout(() => URL.revokeObjectURL(address), 60000) // the browser may still be reading
}

const copy = async text => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const field = element("textarea", {}, text) // where the page is not served securely
  document.body.append(field)
  field.select()
  const done = document.execCommand("copy")
  field.remove()
  if (!done) throw new Error("not copied")
}

/* The menu that saves pictures and copies the page's address. */
const saveMenu = viewer => {
  const button = element("button", {type: "button", class: "small", "aria-haspopup": "true", "aria-expanded": "false"}, "Save")
  const menu = element("div", {class: "menu", role: "group", "aria-label": "Save", hidden: true}), box = element("div", {class: "save"}, button, menu)
  const outside = event => { if (!event.composedPath().includes(box)) show(false) }
  const show = isOpen => {
    menu.hidden = !isOpen
    button.setAttribute("aria-expanded", isOpen)
    document[isOpen ? "addEventListener" : "removeEventListener"]("pointerdown", outside, true)
    if (isOpen) fill()
  }
  const say = text => menu.querySelector("[role=status]").textContent = text
  const failed = sentence => () => say(sentence)
  const nameOf = indices => {
    const {name, key, pixel, panels} = viewer.scene, image = name.split("/").pop().replace(/\.\w+$/, "")
    const parts = [image, key, pixel && `row${pixel[0]}_column${pixel[1]}`, indices.length === 1 && panels.length > 1 && panels[indices[0]].title]
    return parts.filter(Boolean).join("_").replace(/[^\w.-]+/g, "_")
  }
  const pictures = async (indices, kind) => {
    const drawing = drawingOf(viewer, indices)
    save(kind === "png" ? await drawing.png() : new Blob([drawing.svg({withRasters: true})], {type: "image/svg+xml"}), `${nameOf(indices)}.${kind}`)
    say("Saved as shown.")
  }
  const row = (label, indices) => element("div", {class: "choice"}, element("span", {}, label), ...["PNG", "SVG"].map(kind =>
    element("button", {type: "button", class: "small", "aria-label": `${label} as ${kind}`,
      onclick: () => pictures(indices, kind.toLowerCase()).catch(failed("This is too large for a picture; save one panel."))}, kind)))
  const fill = () => {
    const {panels} = viewer.scene, all = viewer.pictures, chosen = viewer.over ?? Math.max(0, panels.findIndex(panel => panel.chosen))
    const single = panels.length <= 6 ? all : [chosen]
    const report = () => {
      save(new Blob([reportOf(viewer)], {type: "text/html"}), `${nameOf(all)}.html`)
      say("Saved as one HTML file.")
    }
    menu.replaceChildren(...all.length > 1 ? [row("All panels", all)] : [], ...single.map(index => row(panels[index].title, [index])),
      ...viewer.scene.recipe ? [element("button", {type: "button", class: "small link", onclick: report}, "Report (HTML)")] : [],
      element("button", {type: "button", class: "small link", onclick: () =>
        copy(location.href).then(() => say("The address of this view is copied."), failed("Copy it from the browser's address bar."))}, "Copy link"),
      element("span", {role: "status"}))
    menu.querySelector("button").focus()
  }
  button.onclick = () => show(menu.hidden)
  box.onkeydown = event => {
    if (event.key !== "Escape" || menu.hidden) return
    show(false)
    button.focus()
    event.stopPropagation()
  }
  return box
}

