/* The viewer: linked panels of one image, painted on canvases. Python sends a scene (see scene.py) at each run of the
   page; what only changes the painting happens here. Positions are (row, column); an edge lies at a whole number, so
   that pixel r spans r to r + 1. Regions are sent in Python's convention, where the centre of pixel 0 lies at 0. */

const NARROW = 480                  // CSS pixels, of a viewer
const NARROW_IN_SMALL_WINDOW = 560, SMALL_WINDOW = 900
const LOW = 130                     // CSS pixels: in lines this low pictures end above the fold
const LARGEST_SCALE = 64            // CSS pixels per image pixel
const GRID_FROM = 12, VALUES_FROM = 44
const DOUBLE_CLICK = 280            // ms in which a second click may come
const CLICK_DISTANCE = 4            // CSS pixels that a hand moves while it clicks
const MOST_PINS = 8
const FIRST_NUMBERS = 4
const MOST_POINTS = 600             // of a drawn shape, which the page's address holds
const LATE = 300                    // ms after which a map of another pixel fades
const REST = 120                    // ms without a move until a live map is refined
const TAKEN = 5000                  // ms after which a scene's values count even where they are not those set here
const NO_ANSWER = 120000            // ms until a request is given up
const RECONNECT = [250, 1000, 3000, 8000, 30000] // ms; the last one again and again
const UNKNOWN_TOKEN = 4401          // the server has forgotten this viewer: the next run of the page opens it anew
const TICK = 34                     // CSS pixels between the ticks of a logarithmic colour bar
const TICK_BEFORE_END = 54          // before the last one, which stands left of its place
const POSITIVE = [255, 77, 77], NEGATIVE = [61, 155, 255]
const KINDS = {u1: Uint8Array, u2: Uint16Array, f4: Float32Array}

const evenly = (low, high, count) => Array.from({length: count}, (_, index) => low + (high - low) * index / (count - 1))

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made[name] = value
    else if (value === true) made.setAttribute(name, "")
    else if (value !== false && value != null) made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

const base = () => {
  const script = document.querySelector('script[src*="/static/"]')
  return script ? script.src.slice(0, script.src.indexOf("/static/") + 1) : new URL("./", location.href).href
}

const rgb = hex => [1, 3, 5].map(start => parseInt(hex.slice(start, start + 2), 16))

const setPixel = (pixels, k, colour) => {
  pixels[k] = colour[0]; pixels[k + 1] = colour[1]; pixels[k + 2] = colour[2]; pixels[k + 3] = 255
}

const tables = new Map()
const table = stops => {
  const key = stops.join()
  if (!tables.has(key)) {
    const colours = stops.map(rgb), made = new Uint8Array(256 * 3)
    for (let i = 0; i < 256; i++) {
      const at = i / 255 * (colours.length - 1), k = Math.min(Math.floor(at), colours.length - 2), t = at - k
      for (let j = 0; j < 3; j++) made[3 * i + j] = Math.round(colours[k][j] * (1 - t) + colours[k + 1][j] * t)
    }
    tables.set(key, made)
  }
  return tables.get(key)
}

const colourOfZero = (colours, low, high) => {
  const k = 3 * Math.round(Math.min(Math.max(-low * (255 / (high - low)), 0), 255)) // as in the maps themselves
  return `rgb(${colours[k]}, ${colours[k + 1]}, ${colours[k + 2]})`
}

const definitions = numbers => numbers.map(([name, value, help]) =>
  element("div", {title: help ?? ""}, element("dt", {}, name), element("dd", {}, value)))

const chip = ([text, tone]) => tone.startsWith("#")
  ? element("span", {class: "chip"}, element("i", {style: `background: ${tone}`}), text)
  : element("span", {class: `chip ${tone}`}, text)

const SUPERSCRIPT = {"-": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹"}
const powerOfTen = exponent => `10${[...String(exponent)].map(letter => SUPERSCRIPT[letter]).join("")}`
const isExtreme = size => size >= 1e5 || size < 1e-3
const written = (value, digits = 3) => {
  if (!Number.isFinite(value)) return "–"
  if (value === 0) return "0"
  const size = Math.abs(value), sign = value < 0 ? "−" : ""
  if (isExtreme(size)) {
    const [mantissa, exponent] = size.toExponential(digits - 1).split("e")
    return `${sign}${+mantissa}·${powerOfTen(+exponent)}`
  }
  return sign + +size.toPrecision(digits)
}

/* Arrays and pictures by address: fetched once, dropped when no scene uses them. */
class Fetched {
  entries = new Map()

  get(address, kind) {
    if (!this.entries.has(address)) {
      const entry = {value: null}
      this.entries.set(address, entry)
      entry.ready = this.loadWhileWanted(entry, address, kind)
    }
    return this.entries.get(address)
  }

  /* Streamlit has no file of a page while the page runs anew, until the run comes to it: so it is asked for again. */
  async loadWhileWanted(entry, address, kind) {
    for (let pause = 250; this.entries.get(address) === entry; pause = Math.min(2 * pause, 4000)) {
      try {
        entry.value = await this.load(address, kind)
        return
      } catch {
        await new Promise(resolve => setTimeout(resolve, pause))
      }
    }
  }

  async load(address, kind) {
    const response = await fetch(base() + address.replace(/^\//, ""))
    if (!response.ok) throw new Error(`${response.status}`)
    if (kind === "picture") return createImageBitmap(await response.blob())
    const stream = response.body.pipeThrough(new DecompressionStream("deflate"))
    return new KINDS[kind](await new Response(stream).arrayBuffer())
  }

  keep(addresses) {
    for (const [address, entry] of this.entries) {
      if (addresses.has(address)) continue
      entry.value?.close?.()
      this.entries.delete(address)
    }
  }
}

/* The way to the server: one request in flight, the latest of those that wait. */
class Channel {
  constructor(onAnswer, onState) {
    this.onAnswer = onAnswer
    this.onState = onState
    this.failures = 0
    this.state = "off"
    this.waiting = this.flying = null
    this.number = 0
  }

  /* Called at each run of the page, which also tries again what has failed. */
  use(token) {
    if (token !== this.token) {
      this.token = token
      this.failures = 0
      this.close()
    }
    if (token && !this.socket) this.open()
  }

  open() {
    clearTimeout(this.timer)
    let socket
    try {
      socket = this.socket = new WebSocket(base().replace(/^http/, "ws") + "api/live")
    } catch {
      return this.change("off")
    }
    socket.binaryType = "arraybuffer"
    socket.onopen = () => socket.send(JSON.stringify({token: this.token}))
    socket.onmessage = event => {
      if (socket !== this.socket) return
      if (typeof event.data === "string") {
        if (JSON.parse(event.data).ready) {
          this.failures = 0
          this.change("on")
          this.next()
        }
        return
      }
      const length = new DataView(event.data).getUint32(0, true)
      const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(event.data, 4, length)))
      answer.content = event.data
      answer.start = 4 + length
      if (this.flying?.id !== answer.id) return
      answer.asked = this.flying.asked
      this.done()
      this.next() // first, so that the server computes while this is painted
      this.onAnswer(answer)
    }
    socket.onclose = event => {
      if (socket !== this.socket) return
      this.socket = null
      this.waiting ??= this.flying
      this.done()
      this.failures = event.code === UNKNOWN_TOKEN ? RECONNECT.length : this.failures + 1
      if (event.code !== UNKNOWN_TOKEN)
        this.timer = setTimeout(() => this.open(), RECONNECT[Math.min(this.failures, RECONNECT.length) - 1])
      this.change("off")
    }
  }

  ask(request, asked = performance.now()) {
    this.waiting = {...request, id: ++this.number, asked}
    this.next()
  }

  forget() { this.waiting = null }

  get idle() { return !this.flying && !this.waiting }

  next() {
    if (this.state !== "on" || this.flying || !this.waiting) return
    this.flying = this.waiting
    this.waiting = null
    const {asked, compose, ...request} = this.flying
    this.socket.send(JSON.stringify(compose ? {...request, ...compose()} : request))
    this.guard = setTimeout(() => {
      this.flying = null // it is not asked again
      this.socket?.close()
    }, NO_ANSWER)
  }

  done() {
    clearTimeout(this.guard)
    this.flying = null
  }

  change(state) { this.onState(this.state = state) }

  close() {
    clearTimeout(this.timer)
    const socket = this.socket
    this.socket = null
    this.done()
    this.waiting = null
    socket?.close()
    this.change("off")
  }
}

/* A map of the image: planes (C, h, w) that begin at (top, left); outside of them it is 0. Where it covers another
   number of pixels than it has values, it is stretched over them. */
class ScalarMap {
  constructor(planes, [channels, height, width], [top, left], covers) {
    Object.assign(this, {height, width, top, left, covers, isSum: channels > 1})
    const count = height * width
    if (channels === 1) {
      this.signed = planes
      this.size = planes
    } else {
      this.signed = new Float32Array(count)
      this.size = new Float32Array(count)
      for (let i = 0; i < count; i++) {
        let sum = 0, square = 0
        for (let c = 0; c < channels; c++) {
          const value = planes[c * count + i]
          sum += value
          square += value * value
        }
        this.signed[i] = sum
        this.size[i] = Math.sqrt(square)
      }
    }
    this.largest = this.largestSize = 0
    for (let i = 0; i < count; i++) {
      const value = Math.abs(this.signed[i]), size = Math.abs(this.size[i])
      if (value > this.largest) this.largest = value
      if (size > this.largestSize) this.largestSize = size
    }
  }

  at(row, column) {
    if (this.covers) {
      const [r, c] = [[row, this.height], [column, this.width]].map(([at, count], axis) =>
        Math.min(Math.floor((at + 0.5) * count / this.covers[axis]), count - 1))
      return this.signed[r * this.width + c]
    }
    const r = row - this.top, c = column - this.left
    return r < 0 || c < 0 || r >= this.height || c >= this.width ? 0 : this.signed[r * this.width + c]
  }

  box(threshold) {
    let top = Infinity, left = Infinity, bottom = -1, right = -1
    for (let r = 0, i = 0; r < this.height; r++)
      for (let c = 0; c < this.width; c++, i++)
        if (Math.abs(this.size[i]) > threshold) {
          if (r < top) top = r
          if (r > bottom) bottom = r
          if (c < left) left = c
          if (c > right) right = c
        }
    return bottom < 0 ? null
      : {top: this.top + top, left: this.left + left, bottom: this.top + bottom, right: this.left + right}
  }
}

const ofChannels = map => map?.isSum ? ", sum of channels" : ""

/* Whether the numbers behind "More" are shown: in all viewers, until that is changed. */
let showsMore = false

/* All viewers of the page: those of one image share their zoom, and controls of one name their value. */
const viewers = new Set()

class Viewer {
  constructor(root) {
    this.root = root
    viewers.add(this)
    this.fetched = new Fetched()
    this.maps = new Map()           // live maps by the name of their layer
    this.zoom = 1
    this.op = "new"
    this.radius = 4                 // of the brush, in image pixels
    this.pointers = new Map()
    this.panels = []
    this.channel = new Channel(answer => this.take(answer), state => this.showState(state))
    this.buildWords()
    this.sizes = new ResizeObserver(() => this.layOut())
    this.sizes.observe(root)
    this.onWindow = () => this.layOut()
    this.onHistory = () => this.goBack()
    window.addEventListener("resize", this.onWindow)
    window.addEventListener("popstate", this.onHistory)
    this.theme = new MutationObserver(() => this.draw())
    this.theme.observe(document.head, {childList: true, subtree: true, characterData: true})
  }

  destroy() {
    viewers.delete(this)
    this.channel.token = null
    this.channel.close()
    this.sizes.disconnect()
    this.theme.disconnect()
    window.removeEventListener("resize", this.onWindow)
    window.removeEventListener("popstate", this.onHistory)
    this.fetched.keep(new Set())
    for (const timer of [this.clicking, this.resting, this.restoring, this.marking, this.lateness]) clearTimeout(timer)
    cancelAnimationFrame(this.frame)
  }

  /* ------------------------------------------------------------------ scenes */

  update(scene, send) {
    const before = this.scene
    this.scene = scene
    this.send = send
    this.untold = {}
    if (!scene.paint) this.painter = null
    else (this.painter ??= new Painter(this)).adopt(scene.paint)
    const sameImage = before?.id === scene.id
    const former = new Map((before?.panels ?? []).flatMap(panel => panel.layers).map(layer => [layer.name, layer]))
    if (!sameImage) {
      this.maps.clear()
      this.hover = this.picked = null
      this.parts = null
    }
    // A run that began before the hand was lifted knows nothing of the new values.
    if (this.lifted && performance.now() - this.lifted.at > TAKEN ||
        Object.entries(this.lifted?.values ?? {}).every(([name, value]) => !(name in scene.settings) || scene.settings[name] === value))
      this.lifted = null
    if (!this.moving) this.settings = {...scene.settings, ...this.lifted?.values}
    if (!this.drawing && (!this.painter || !sameImage)) this.parts = scene.region ? [...scene.region] : []
    if (before?.revision !== scene.revision) {
      this.maps.clear()
      this.painted = null
      this.shownSamples = scene.live?.refine[0]
    }
    const shown = scene.pixel && `${scene.pixel}`
    if (this.picked && `${this.picked}` === shown) this.picked = null // Python's own answer has come
    this.tool = scene.tools.includes(this.tool) && before && `${before.tools}` === `${scene.tools}` ? this.tool : scene.tool
    this.build(before)
    if (!sameImage) this.fit({first: true})
    const addresses = new Set(this.addresses())
    for (const layer of this.layers()) this.load(layer, sameImage ? former.get(layer.name) : null)
    for (const pin of scene.pins ?? []) if (pin.map) this.load(pin.map)
    this.fetched.keep(addresses)
    if (this.restoring) this.restore()
    else this.writeAddress()
    this.channel.use(scene.live?.token ?? null)
    this.painter?.ask()
    this.showState(this.channel.state)
    // The run knows the chosen pixel, and nothing of the one that the pointer has reached meanwhile.
    if (this.follows && this.hover && `${this.hover}` !== shown && this.channel.state === "on") {
      if (this.channel.idle) this.askForNumbers() // else an answer is on its way
    } else if (!this.painter?.isAhead) this.showWords(scene)
    this.painter?.showButtons()
    this.showPins()
    this.draw()
  }

  /* Tell Python. Of two triggers that wait for one run Streamlit keeps the later, so what no run has answered is sent
     along. */
  tell(name, value) {
    this.untold[name] = value
    for (const [other, latest] of Object.entries(this.untold)) this.send(other, latest)
  }

  * layers() { for (const panel of this.scene.panels) yield* panel.layers }

  * addresses() {
    const all = [...this.layers(), ...(this.scene.pins ?? []).map(pin => pin.map).filter(Boolean)]
    for (const layer of all) {
      if (layer.array) yield layer.array.url
      if (layer.intensities) yield layer.intensities.url
      if (layer.url) yield layer.url
    }
  }

  /* What a layer showed until now is shown until its own values have come. */
  load(layer, former = null) {
    if (this.painter?.provide(layer)) return
    if (layer.array && former?.kind === layer.kind && !layer.live) Object.assign(layer, {values: former.values, map: former.map})
    layer.waits = Boolean(layer.array)
    const got = (entry, take) => {
      if (entry.value) return take(entry.value)
      entry.ready.then(() => {
        if (entry.value) take(entry.value)
        this.draw()
      })
    }
    if (layer.url) got(this.fetched.get(layer.url, "picture"), picture => layer.picture = picture)
    if (layer.intensities)
      got(this.fetched.get(layer.intensities.url, layer.intensities.kind), values => layer.intensities.values = values)
    if (layer.array) {
      const {url, kind, shape} = layer.array
      const entry = this.fetched.get(url, kind)
      got(entry, values => {
        layer.waits = false
        layer.edges = null
        if (layer.kind !== "map") layer.values = values
        else layer.map = (entry.maps ??= {})[`${shape}|${layer.window}|${layer.covers}`] ??= new ScalarMap(values, shape, layer.window, layer.covers)
      })
    }
  }

  /* The map of a layer: the live one, while the pointer or a click asks for it, else the one that Python sent. */
  mapOf(layer) {
    if (!layer) return null
    const asked = this.hover ?? this.picked
    if (layer.live && asked) {
      const live = this.maps.get(layer.name)
      if (live) return live
    }
    return layer.map ?? (layer.live ? this.maps.get(layer.name) : null) ?? null
  }

  /* The indices of the panels that have a picture. */
  get pictures() { return [...this.scene.panels.keys()].filter(index => !this.scene.panels[index].empty) }

  named(name) {
    for (const layer of this.layers()) if (layer.name === name) return layer
    return null
  }

  /* A value of the scene that may stand for a setting, as "$opacity" does. */
  value(stated) {
    return typeof stated === "string" && stated.startsWith("$") ? this.settings[stated.slice(1)] : stated
  }

  isShown(layer) {
    return layer.shown.every(({setting, in: values}) =>
      values.length ? values.includes(this.settings[setting]) : Boolean(this.settings[setting]))
  }

  thresholdOf(layer, map) {
    const relative = this.value(layer.proportion)
    if (layer.thresholds) return layer.thresholds.find(([proportion]) => proportion === relative)?.[1] ?? Infinity
    return this.value(layer.definition) === "absolute" ? this.value(layer.absolute) : relative * map.largestSize
  }

  scaleOf(layer, map) {
    const {colours, low, high} = layer.scale, {ends} = layer
    const whole = ends ? ends.values[ends.settings.map(name => this.settings[name]).join()] : map?.largestSize || 1
    const end = high ?? whole * (this.value(layer.limit) ?? 1)
    return {low: low ?? -end, high: end, stops: this.scene.scales[colours][this.isDark ? 1 : 0],
      bend: this.value(layer.log) ? Math.log1p : Number}
  }

  /* ------------------------------------------------------------------ elements */

  build(before) {
    const {scene} = this
    const shape = JSON.stringify([scene.panels.map(({name, choosable, group, layers}) =>
      [name, choosable, group, layers.some(layer => layer.kind === "map")]),
      scene.controls, scene.tools, scene.position, Boolean(scene.pins), scene.compact, scene.grid, Boolean(scene.paint)])
    if (shape !== this.shape) {
      this.shape = shape
      this.assemble()
    }
    scene.panels.forEach((panel, index) => {
      const {title, canvas, empty} = this.panels[index]
      title.textContent = panel.title
      title.title = panel.help
      empty.textContent = panel.empty
      canvas.hidden = Boolean(panel.empty)
      canvas.setAttribute("aria-label", `${panel.title}. ${this.instructions()}`)
    })
    this.showChoice()
    this.showControls()
    this.layOut()
  }

  instructions() {
    const pick = this.scene.tools.includes("point") ? "Arrow keys move the pixel by one, with Shift by ten; Enter chooses it. " : ""
    const draw = this.scene.tools.some(tool => tool !== "point") ? "Enter sets a corner, C closes a lasso, Escape clears. " : ""
    const choose = this.scene.panels.some(panel => panel.choosable) && this.tool === "none" ? "Enter chooses this panel. " : ""
    return `${pick}${draw}${choose}Plus and minus zoom, 0 shows all.`
  }

  assemble() {
    const {scene} = this
    this.root.classList.toggle("compact", scene.compact)
    this.laidOut = null // new canvases have no height yet
    const top = element("div", {class: "bar"}), bottom = element("div", {class: "bar"})
    if (scene.tools.some(tool => tool !== "point")) top.append(this.toolbar())
    this.controls = new Map()
    for (const control of scene.controls) (control.below ? bottom : top).append(this.control(control))
    if (this.painter) top.append(this.painter.buttons)
    if (scene.position) top.append(this.position())
    this.grid = element("div", {class: "panels"})
    this.panels = scene.panels.map((panel, index) => this.panel(panel, index))
    this.heads = null
    if (scene.grid) {
      const head = (kind, {text, note, help}) => element("div", {class: `head ${kind}`, title: help}, text, element("small", {}, note))
      const {rows, columns} = scene.grid
      this.heads = {rows: rows.map(row => head("row", row)), columns: columns.map(column => head("column", column))}
      this.grid.classList.add("table")
      this.grid.append(element("div"), ...this.heads.columns)
      rows.forEach((_, row) => this.grid.append(this.heads.rows[row],
        ...this.panels.slice(row * columns.length, (row + 1) * columns.length).map(panel => panel.box)))
    } else this.panels.forEach(({box}, index) => {
      const {group} = scene.panels[index]
      if (group && group !== scene.panels[index - 1]?.group)
        this.grid.append(element("div", {class: "group", role: "heading", "aria-level": 3}, group))
      this.grid.append(box)
    })
    this.readout = element("div", {class: "readout"})
    this.state = element("span", {class: "state", role: "status"})
    this.pins = element("div", {class: "pins", role: "list", "aria-label": "Pinned pixels"})
    this.legend = element("div", {class: "legend", role: "list", "aria-label": "Classes"})
    const line = element("div", {class: "line"}, element("div", {class: "about"}, this.legend, this.readout, this.state), saveMenu(this))
    this.root.replaceChildren(...[top.childNodes.length ? top : "", this.grid, line, this.said,
      bottom.childNodes.length ? bottom : "", this.figures, this.pins].filter(Boolean))
  }

  toolbar() {
    const words = {point: ["Pixel", "Click a pixel"], box: ["Box", "Drag a rectangle"],
      lasso: ["Lasso", "Draw around some pixels"], brush: ["Brush", "Paint over pixels"], paint: ["Brush", "Paint on the image"]}
    const choose = name => {
      this.tool = name
      this.corners = null
      this.showControls()
      this.draw()
    }
    this.tools = this.segments("Tool", this.scene.tools.map(name => [name, ...words[name]]), choose)
    const operations = [["new", "New", "Begin anew"], ["add", "Add", "Add to the region; or hold Shift"],
      ["subtract", "Subtract", "Take away from the region; or hold Alt"]]
    this.operations = this.segments("Combine", operations, name => {
      this.op = name
      this.showControls()
    })
    return element("div", {class: "tools"}, this.tools, this.operations)
  }

  segments(label, options, choose) {
    const box = element("div", {class: "segments", role: "radiogroup", "aria-label": label})
    const buttons = options.map(([name, text, help]) => element("button", {type: "button", role: "radio", "data-name": name,
      title: help, onclick: () => choose(name)}, text))
    box.onkeydown = event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key]
      const at = buttons.indexOf(event.target)
      if (!step || at < 0) return
      event.preventDefault()
      const other = buttons[(at + step + buttons.length) % buttons.length]
      other.focus()
      other.click()
    }
    box.append(...buttons)
    return box
  }

  mark(box, name) {
    for (const button of box?.querySelectorAll("button") ?? []) {
      const chosen = button.dataset.name === String(name)
      button.setAttribute("aria-checked", chosen)
      button.tabIndex = chosen ? 0 : -1
    }
  }

  control(control) {
    const set = (value, lifted) => {
      this.moving = !lifted
      for (const viewer of viewers) if (viewer === this || control.name in (viewer.settings ?? {})) viewer.set(control.name, value)
      this.askForNumbers()
      if (lifted) this.commitSettings()
    }
    let input, show
    const label = element("span", {class: "label", title: control.help}, control.label)
    if (control.kind === "choice" && control.isMenu) {
      input = element("select", {"aria-label": control.label}, ...control.options.map(([value, text]) => element("option", {value}, text)))
      input.onchange = () => set(input.value, true)
      show = () => input.value = this.settings[control.name]
    } else if (control.kind === "choice") {
      input = this.segments(control.label, control.options, name => set(name, true))
      show = () => this.mark(input, this.settings[control.name])
    } else if (control.kind === "switch") {
      const box = element("input", {type: "checkbox", "aria-label": control.label})
      box.onchange = () => set(box.checked, true)
      input = element("label", {class: "switch", title: control.help}, box, control.label)
      show = () => box.checked = this.settings[control.name]
      label.textContent = ""
    } else if (control.kind === "colour") {
      input = element("input", {type: "color", "aria-label": control.label})
      input.oninput = () => set(input.value, false)
      input.onchange = () => set(input.value, true)
      show = () => input.value = this.settings[control.name]
    } else {
      const {values, texts} = control
      const range = element("input", {type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": control.label})
      const text = element("output", {})
      range.oninput = () => set(values[+range.value], false)
      range.onchange = () => set(values[+range.value], true)
      input = element("div", {class: "slider"}, range, text)
      show = () => {
        const at = values.indexOf(this.settings[control.name])
        range.value = at
        text.textContent = texts[at]
        range.setAttribute("aria-valuetext", texts[at])
      }
    }
    const box = element("div", {class: `control ${control.kind}`, "data-control": control.name}, label, input)
    this.controls.set(control.name, {control, box, show})
    return box
  }

  set(name, value) {
    this.settings[name] = value
    this.showControls()
    this.draw()
  }

  showControls() {
    this.mark(this.tools, this.tool)
    this.mark(this.operations, this.op)
    if (this.operations) this.operations.hidden = !this.draws || this.tool === "paint"
    for (const {control, box, show} of this.controls.values()) {
      show()
      const {when} = control
      box.hidden = Boolean(when) && !when[1].includes(this.settings[when[0]])
    }
  }

  position() {
    const field = (name, most) => {
      const input = element("input", {type: "number", min: 0, max: most - 1, step: 1, inputmode: "numeric", "aria-label": name})
      const choose = () => {
        const at = [this.rowField, this.columnField].map(other => Math.round(+other.value))
        const ok = [this.rowField, this.columnField].every((other, axis) =>
          other.value !== "" && at[axis] >= 0 && at[axis] < this.scene.size[axis])
        if (ok) this.pick(at[0], at[1])
        else this.showPosition(true)
      }
      input.onkeydown = event => {
        if (event.key === "Enter") choose()
        if (event.key === "Escape") this.showPosition(true)
      }
      // A step by the arrows counts at once, typed digits only after Enter: half a number must not move the pixel.
      input.oninput = event => { if (!event.inputType) choose() }
      input.onblur = () => this.showPosition(true)
      return input
    }
    this.rowField = field("Row", this.scene.size[0])
    this.columnField = field("Column", this.scene.size[1])
    const labels = this.scene.position === "class" ? ["Class at row", "column"] : ["Row", "Column"]
    return element("div", {class: "control position"}, ...[this.rowField, this.columnField].map((input, axis) =>
      element("label", {}, element("span", {class: "label"}, labels[axis]), input)))
  }

  showPosition(always = false) {
    if (!this.rowField?.isConnected) return
    const focused = this.root.getRootNode().activeElement
    const [row, column] = this.chosen() ?? ["", ""]
    for (const [field, value, most] of [[this.rowField, row, this.scene.size[0]], [this.columnField, column, this.scene.size[1]]]) {
      field.max = most - 1
      if (always || field !== focused) field.value = value
    }
  }

  panel(panel, index) {
    const canvas = element("canvas", {tabindex: 0, role: "application", "data-panel": panel.name})
    const title = panel.choosable ? element("button", {type: "button", class: "title", onclick: () => this.choose(index)})
      : element("span", {class: "title"})
    const note = element("span", {class: "note"}), warning = element("span", {class: "warning", role: "img"}, "!")
    const empty = element("div", {class: "empty"})
    const bar = element("div", {class: "colours"}, element("canvas", {height: 10}), element("div", {class: "ticks"}), element("div", {class: "unit"}))
    const ground = element("canvas", {class: "ground", "aria-hidden": "true"})
    const box = element("figure", {class: "panel"}, element("figcaption", {}, title, note),
      element("div", {class: "picture"}, ground, canvas, warning, empty), bar)
    const part = {index, box, canvas, ground, title, note, warning, empty, bar, scratch: new Map()}
    canvas.onpointerdown = event => this.press(event, part)
    canvas.onpointermove = event => this.move(event, part)
    // Where the browser has them: moves at once, not only before each frame, so that a request holds the latest place.
    canvas.addEventListener("pointerrawupdate", event => { if (!this.pointers.size) this.move(event, part) })
    canvas.onpointerup = event => this.lift(event, part)
    canvas.onpointercancel = event => this.cancelPointer(event)
    canvas.onpointerleave = event => { if (!this.pointers.size) this.leave() }
    canvas.ondblclick = () => {
      if (this.draws) return
      clearTimeout(this.clicking) // this was meant for the zoom, not for the pixel
      this.fit({})
    }
    canvas.onkeyup = event => { if (event.key === " ") this.space = false }
    canvas.onkeydown = event => this.key(event, part)
    canvas.onblur = () => {
      this.root.classList.remove("pressed")
      if (this.byKey) this.leave()
    }
    canvas.addEventListener("wheel", event => this.wheel(event, part), {passive: false})
    return part
  }

  /* ------------------------------------------------------------------ geometry */

  layOut() {
    if (!this.scene || !this.grid) return
    const width = this.root.clientWidth
    if (!width) return
    if (this.scene.grid) return this.layOutTable(width)
    const {scene} = this, [rows, columns] = scene.size, count = this.panels.length, {compact} = scene
    const gap = 12, scrolled = this.grid.closest('[data-testid="stMain"]') ?? document.querySelector('[data-testid="stMain"]')
    const top = this.grid.getBoundingClientRect().top + (scrolled?.scrollTop ?? 0)
    const isNarrow = !compact && width < (window.innerWidth < SMALL_WINDOW ? NARROW_IN_SMALL_WINDOW : NARROW) // panels stand below each other, and the page scrolls
    const below = scene.words.numbers.length ? 316 : 180 // what is read along with the panels
    const room = isNarrow ? 0.6 * window.innerHeight
      : Math.max(compact ? 280 : 320, compact ? window.innerHeight / 2 : window.innerHeight - Math.min(top, 320) - below)
    // As many panels side by side as show the image largest.
    const widthOf = number => Math.floor((width - gap * (number - 1)) / number)
    const heightOf = (number, least) => {
      const lines = Math.ceil(count / number)
      return lines > 1 && !isNarrow ? Math.max(least, room / lines - 40) : room
    }
    let across = 1
    if (compact) across = Math.min(count, Math.max(2, Math.floor((width + gap) / (132 + gap))))
    else if (!isNarrow) for (let number = 2, best = 0; number <= count; number++) {
      const scaleOf = other => Math.min(widthOf(other) / columns, heightOf(other, LOW) / rows)
      best ||= scaleOf(1)
      if (scaleOf(number) < 0.85 * best) continue
      best = Math.max(best, scaleOf(number))
      across = number
    }
    const panelWidth = widthOf(across), natural = panelWidth * rows / columns
    let height = compact ? Math.min(natural, 1.4 * panelWidth) : Math.min(natural, heightOf(across, 200))
    height = Math.round(Math.max(height, Math.min(compact ? 60 : 100, room)))
    this.across = across
    this.grid.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`
    this.resize(panelWidth, height)
  }

  /* Under headings the panels stay small, and are scrolled to where they are too many. */
  layOutTable(width) {
    const [rows, columns] = this.scene.size, count = this.scene.grid.columns.length, gap = 4, label = width < 760 ? 84 : 128
    const panelWidth = Math.max(40, Math.min(116, Math.floor((width - label - 2 * gap) / count) - gap))
    this.grid.style.gridTemplateColumns = `${label}px repeat(${count}, ${panelWidth}px)`
    this.resize(panelWidth, Math.round(Math.max(20, Math.min(panelWidth * rows / columns, 1.4 * panelWidth))))
  }

  resize(panelWidth, height) {
    const size = `${panelWidth},${height}`
    if (size !== this.laidOut) {
      for (const held of [this.said, this.readout]) {
        held.style.minHeight = ""
        this.hold(held)
      }
      this.readout.longest = 0
      this.laidOut = size
      this.width = panelWidth
      this.height = height
      for (const {canvas} of this.panels) canvas.parentElement.style.height = `${height}px`
      if (this.untouched) this.fit({first: true})
    }
    this.draw()
  }

  get scale() {
    const [rows, columns] = this.scene.size
    return Math.min(this.width / columns, this.height / rows) * this.zoom
  }

  fit({first}) {
    const [rows, columns] = this.scene.size
    this.zoom = 1
    this.centre = [rows / 2, columns / 2]
    this.untouched = true
    // A long, low image would be a sliver: it begins with its short side in full and the rest beside.
    const short = Math.min(rows, columns) * this.scale, wanted = Math.min(this.width, this.height, 180)
    if (first && short < wanted / 2) {
      this.zoom = Math.min(wanted / short, LARGEST_SCALE / this.scale)
      if (this.scene.pixel) this.centre = this.scene.pixel.map(value => value + 0.5)
      this.clamp()
    }
    const other = first && [...viewers].find(viewer => viewer.isLinked(this) && !viewer.untouched)
    if (other) this.follow(other)
    else if (!first) this.share()
    this.draw()
  }

  isLinked(other) { return other !== this && this.width && this.centre && other.scene.id === this.scene.id }

  share() { for (const viewer of viewers) if (viewer.isLinked(this)) viewer.follow(this) }

  follow({zoom, centre, untouched}) {
    const fitted = this.scale / this.zoom
    Object.assign(this, {zoom: Math.max(1, Math.min(zoom, LARGEST_SCALE / fitted)), centre: [...centre], untouched})
    this.clamp()
    this.draw()
  }

  clamp() {
    const {scale} = this
    const room = [this.height, this.width]
    this.centre = this.centre.map((value, axis) => {
      const length = this.scene.size[axis], half = room[axis] / 2 / scale
      return length * scale <= room[axis] ? length / 2 : Math.min(Math.max(value, half), length - half)
    })
  }

  zoomBy(factor, x, y) {
    const fitted = this.scale / this.zoom
    const zoom = Math.min(Math.max(this.zoom * factor, 1), Math.max(1, LARGEST_SCALE / fitted))
    const at = this.toImage(x, y)
    this.zoom = zoom
    this.untouched = zoom === 1
    this.centre = [at[0] - (y - this.height / 2) / this.scale, at[1] - (x - this.width / 2) / this.scale]
    this.clamp()
    this.share()
    this.draw()
  }

  toImage(x, y) {
    return [(y - this.height / 2) / this.scale + this.centre[0], (x - this.width / 2) / this.scale + this.centre[1]]
  }

  toScreen(row, column) {
    return [(column - this.centre[1]) * this.scale + this.width / 2, (row - this.centre[0]) * this.scale + this.height / 2]
  }

  /* Where the whole image lies: left, top, width and height. */
  get frameOfImage() {
    const [rows, columns] = this.scene.size
    return [...this.toScreen(0, 0), columns * this.scale, rows * this.scale]
  }

  pixelAt(x, y) {
    const at = this.toImage(x, y).map(Math.floor)
    return at.every((value, axis) => value >= 0 && value < this.scene.size[axis]) ? at : null
  }

  /* ------------------------------------------------------------------ pointer and keys */

  place(event, part) {
    const frame = part.canvas.getBoundingClientRect()
    return [event.clientX - frame.left, event.clientY - frame.top]
  }

  press(event, part) {
    if (event.button > 1) return
    part.canvas.focus({preventScroll: true})
    part.canvas.setPointerCapture(event.pointerId)
    const at = this.place(event, part)
    this.pointers.set(event.pointerId, at)
    this.byKey = false
    this.root.classList.remove("keys")
    this.root.classList.add("pressed")
    if (this.pointers.size === 2) {
      this.painter?.release()
      this.drawing = null
      this.grip = null
      return
    }
    if (this.draws && event.button === 0 && !this.space) this.begin(at, event)
    else this.grip = {from: at, at, moved: event.button === 1 || this.space}
    event.preventDefault()
  }

  move(event, part) {
    const at = this.place(event, part), before = this.pointers.get(event.pointerId)
    if (before && this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1]
      const apart = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1
      const middle = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]
      this.zoomBy(apart(at) / apart(before), ...middle)
      this.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2)
      this.pointers.set(event.pointerId, at)
      return
    }
    if (before) this.pointers.set(event.pointerId, at)
    if (this.painter?.held) return this.painter.drag(this.fraction(at))
    if (this.drawing) {
      if (this.painter) this.hover = this.pixelAt(...at)
      return this.extend(at)
    }
    const {grip} = this
    if (grip) {
      if (Math.hypot(at[0] - grip.from[0], at[1] - grip.from[1]) > CLICK_DISTANCE) grip.moved = true
      if (grip.moved) this.pan(at[0] - grip.at[0], at[1] - grip.at[1])
      grip.at = at
      if (grip.moved) return
    }
    this.byKey = false
    this.over = part.index
    this.look(this.pixelAt(...at), event.timeStamp)
  }

  lift(event, part) {
    const grip = this.grip
    this.pointers.delete(event.pointerId)
    if (this.painter?.held) return this.painter.letGo()
    if (this.drawing) {
      this.finish()
      return this.look(this.pixelAt(...this.place(event, part)), event.timeStamp)
    }
    this.grip = null
    if (grip && !grip.moved) {
      const pixel = this.pixelAt(...this.place(event, part))
      if (pixel && this.tool === "point") {
        // In the whole image a double click does nothing, so that a click need not wait for a second one.
        clearTimeout(this.clicking)
        if (this.untouched) this.pick(...pixel)
        else this.clicking = setTimeout(() => this.pick(...pixel), DOUBLE_CLICK)
      } else if (this.tool === "none") this.choose(part.index)
    }
  }

  cancelPointer(event) {
    this.pointers.delete(event.pointerId)
    this.painter?.release()
    this.grip = this.drawing = null
    this.draw()
  }

  leave() {
    this.channel.forget()
    clearTimeout(this.resting)
    this.hover = null
    this.byKey = false
    if (!this.picked) this.showWords(this.scene)
    this.draw()
  }

  pan(x, y) {
    this.centre = [this.centre[0] - y / this.scale, this.centre[1] - x / this.scale]
    this.clamp()
    this.share()
    this.draw()
  }

  wheel(event, part) {
    if (this.scene.compact ? !event.ctrlKey : event.deltaY > 0 && this.zoom <= 1) return // the page scrolls
    event.preventDefault()
    const delta = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY
    this.zoomBy(Math.exp(-Math.max(-300, Math.min(300, delta)) * (event.ctrlKey ? 0.01 : 0.002)), ...this.place(event, part))
  }

  key(event, part) {
    if (this.painter && (event.metaKey || event.ctrlKey) && "zy".includes(event.key.toLowerCase())) {
      this.painter.act({do: event.key.toLowerCase() === "y" || event.shiftKey ? "redo" : "undo"})
      return event.preventDefault()
    }
    if (event.metaKey || event.ctrlKey) return
    this.root.classList.remove("pressed")
    this.root.classList.add("keys")
    const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key]
    const [rows, columns] = this.scene.size
    if (steps && event.altKey && this.painter?.nudge(steps, event)) {
      this.draw()
    } else if (steps) {
      const from = this.hover ?? this.chosen() ?? [rows >> 1, columns >> 1], by = event.shiftKey ? 10 : 1
      const pixel = [Math.min(Math.max(from[0] + by * steps[0], 0), rows - 1), Math.min(Math.max(from[1] + by * steps[1], 0), columns - 1)]
      this.byKey = true
      this.over = part.index
      this.look(pixel, event.timeStamp)
      this.reveal(pixel)
      if (this.corners && this.drawing) this.extend(this.toScreen(pixel[0] + 0.5, pixel[1] + 0.5))
    } else if (event.key === " " && this.draws) this.space = true
    else if ((event.key === "Enter" || event.key === " ") && this.tool === "none") this.choose(part.index)
    else if (event.key === "Enter" || event.key === " ") {
      const pixel = this.hover ?? this.chosen()
      if (!pixel) return
      if (this.tool === "point") this.pick(...pixel)
      else if (this.draws) this.corner(pixel, event)
    } else if (event.key.toLowerCase() === "c" && this.drawing && this.corners) this.finish()
    else if (event.key === "Escape") this.clear()
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.5, ...this.middle())
    else if (event.key === "-") this.zoomBy(1 / 1.5, ...this.middle())
    else if (event.key === "0" || event.key === "Home") this.fit({})
    else if (event.key === "Delete" && this.scene.pins) this.unpin(this.chosen())
    else if (event.key === "[" || event.key === "]") this.resizeBrush(event.key === "]" ? 1 : -1)
    else return
    event.preventDefault()
  }

  resizeBrush(by) {
    if (!this.painter) {
      this.radius = Math.min(Math.max(1, this.radius + by), 512)
      return
    }
    const {values} = this.scene.controls.find(control => control.name === "size")
    this.set("size", values[Math.min(Math.max(values.indexOf(this.settings.size) + by, 0), values.length - 1)])
    this.commitSettings()
  }

  middle() {
    const pixel = this.hover ?? this.chosen()
    return pixel ? this.toScreen(pixel[0] + 0.5, pixel[1] + 0.5) : [this.width / 2, this.height / 2]
  }

  reveal([row, column]) {
    const [x, y] = this.toScreen(row + 0.5, column + 0.5)
    if (x > 0 && y > 0 && x < this.width && y < this.height) return
    this.centre = [row + 0.5, column + 0.5]
    this.clamp()
    this.share()
    this.draw()
  }

  clear() {
    if (this.drawing) {
      this.drawing = this.corners = null
    } else if (this.parts?.length && this.draws) {
      this.parts = []
      this.commitRegion()
    } else this.leave()
    this.draw()
  }

  /* ------------------------------------------------------------------ the pixel */

  get draws() { return !["point", "none"].includes(this.tool) }

  chosen() { return this.picked ?? this.scene.pixel ?? null }

  get follows() { return this.scene.live && !this.painter && this.tool === "point" }

  look(pixel, time) {
    if (`${pixel}` === `${this.hover}`) return
    this.hover = pixel
    clearTimeout(this.resting)
    if (!pixel) return this.leave()
    const {follows} = this
    if (follows) this.ask(pixel, this.scene.live.refine[0], time)
    // Where a map is on its way the marks come with it: painting takes the time of the processor that computes it.
    clearTimeout(this.marking)
    if (follows && this.channel.state === "on" && !this.byKey) this.marking = setTimeout(() => this.draw({marksOnly: true}), 60)
    else this.draw({marksOnly: true})
  }

  /* Whether the live map on screen is of another pixel, and the right one takes its time. */
  get isLate() {
    const asked = this.hover ?? this.picked, shown = this.painted
    return Boolean(asked && this.since != null) && performance.now() - this.since > LATE && this.channel.state === "on" &&
      !this.channel.idle && !(shown && shown.row === asked[0] && shown.column === asked[1])
  }

  wait() {
    this.since = performance.now()
    clearTimeout(this.lateness)
    this.lateness = setTimeout(() => { if (this.isLate) this.draw() }, LATE + 10)
  }

  ask([row, column], samples, time) {
    if (this.channel.idle) this.wait()
    this.channel.ask({row, column, samples, settings: this.settings, revision: this.scene.revision}, time)
  }

  askForNumbers() {
    if (!this.scene.live || this.painter) return
    const pixel = this.hover ?? this.chosen()
    if (pixel) this.ask(pixel, this.shownSamples)
  }

  take(answer) {
    if (answer.revision !== this.scene.revision) return
    if (this.painter && answer.state) return this.painter.take(answer)
    if (this.painter) this.painter.fail()
    const asked = this.hover ?? this.chosen()
    if (!asked || asked[0] !== answer.row || asked[1] !== answer.column) {
      if (!this.hover) return // the pointer has left; on its way an older map is better than none
    }
    if (answer.error) {
      this.readoutNote = answer.error
      return this.draw()
    }
    this.readoutNote = null
    if (!this.channel.idle) this.wait()
    let {start} = answer
    for (const [name, {shape, window: corner}] of Object.entries(answer.maps)) {
      const count = shape.reduce((product, length) => product * length, 1)
      const map = new ScalarMap(new Float32Array(answer.content.slice(start, start + 4 * count)), shape, corner)
      map.unit = answer.words.unit
      this.maps.set(name, map)
      start += 4 * count
    }
    this.shownSamples = answer.samples
    this.showWords(answer)
    this.painted = {row: answer.row, column: answer.column, asked: answer.asked, samples: answer.samples ?? null}
    this.draw()
    const {refine} = this.scene.live
    const more = refine[refine.indexOf(answer.samples) + 1]
    if (more && this.channel.idle) {
      clearTimeout(this.resting)
      this.resting = setTimeout(() => this.channel.idle && this.ask([answer.row, answer.column], more), REST)
    }
  }

  pick(row, column) {
    const pixel = [row, column], before = this.chosen()
    this.picked = pixel
    if (this.painter) this.painter.look()
    else if (this.scene.live && (!this.painted || this.painted.row !== row || this.painted.column !== column))
      this.ask(pixel, this.scene.live.refine[0])
    const held = this.scene.pins?.map(pin => [pin.row, pin.column])
    const pins = held?.some(pin => `${pin}` === `${pixel}`) ? held : held && [...held, pixel].slice(-MOST_PINS)
    if (`${before}` !== `${pixel}` || pins?.length !== held?.length) {
      this.writeAddress({...this.scene.address, row: String(row), column: String(column), ...(pins ? {pins: pinsText(pins)} : {})}, true)
      this.tell("picked", {row, column, pins})
    }
    this.showPosition(true)
    this.showPins()
    this.draw()
  }

  pinsWithout(pixel) {
    return this.scene.pins.map(pin => [pin.row, pin.column]).filter(pin => `${pin}` !== `${pixel}`)
  }

  unpin(pixel) {
    const pins = this.pinsWithout(pixel)
    const [row, column] = this.chosen() ?? pixel
    this.writeAddress({...this.scene.address, pins: pinsText(pins)}, true)
    this.tell("picked", {row, column, pins})
  }

  /* ------------------------------------------------------------------ the panel */

  choose(index) {
    const {panels} = this.scene
    if (!panels[index].choosable || panels[index].chosen) return
    panels.forEach((panel, other) => panel.chosen = other === index)
    this.showChoice()
    this.tell("chosen", panels[index].name)
    const large = [...viewers].find(viewer => !viewer.scene.compact)
    const at = large?.scene.panels.findIndex(panel => panel.layers.some(layer => layer.kind === "map"))
    large?.panels[at]?.box.scrollIntoView({block: "nearest", behavior: "smooth"}) // what shows the choice
  }

  showChoice() {
    this.scene.panels.forEach((panel, index) => {
      const {box, canvas, title, warning} = this.panels[index], isButton = panel.choosable && this.tool === "none"
      box.classList.toggle("choosable", panel.choosable)
      box.classList.toggle("chosen", panel.chosen)
      warning.hidden = !panel.warning
      warning.title = panel.warning
      warning.setAttribute("aria-label", panel.warning)
      canvas.title = isButton ? [panel.title, panel.warning].filter(Boolean).join("\n") : ""
      canvas.setAttribute("role", isButton ? "button" : "application")
      for (const button of [isButton && canvas, panel.choosable && title])
        if (button) button.setAttribute("aria-pressed", panel.chosen)
    })
    if (!this.heads) return
    const at = this.scene.panels.findIndex(panel => panel.chosen), across = this.heads.columns.length
    this.heads.rows.forEach((head, row) => head.classList.toggle("chosen", at >= 0 && row === Math.floor(at / across)))
    this.heads.columns.forEach((head, column) => head.classList.toggle("chosen", at >= 0 && column === at % across))
  }

  /* ------------------------------------------------------------------ regions */

  begin(at, event) {
    const {painter} = this
    if (painter && (this.tool === "paint" ? !painter.begin(this.fraction(at), event) : painter.grasp(this.fraction(at), event))) return
    const op = event.shiftKey ? "add" : event.altKey ? "subtract" : this.op
    this.drawing = {op, kind: this.tool, points: [this.fraction(at)], last: at, ...(this.tool === "brush" ? {radius: this.radius} : {})}
    if (this.tool === "box") this.drawing.points.push(this.fraction(at))
  }

  corner([row, column], event) {
    const point = [row, column]
    if (this.tool === "paint") {
      if (this.painter.begin(point, event)) this.painter.finish()
    } else if (!this.drawing) {
      this.begin(this.toScreen(row + 0.5, column + 0.5), event)
      this.corners = 1
    } else {
      if (this.drawing.kind === "box") {
        this.drawing.points[1] = point
        return this.finish()
      }
      this.drawing.points.push(point)
      this.corners++
    }
    this.draw()
  }

  fraction([x, y]) {
    const [row, column] = this.toImage(x, y)
    const within = (value, length) => Math.min(Math.max(value, 0), length) - 0.5
    return [within(row, this.scene.size[0]), within(column, this.scene.size[1])]
  }

  extend(at) {
    const {drawing} = this
    if (drawing.kind === "paint") this.painter.extend(this.fraction(at))
    else if (drawing.kind === "box") drawing.points[1] = this.fraction(at)
    else if (!this.corners && Math.hypot(at[0] - drawing.last[0], at[1] - drawing.last[1]) >= 3) {
      drawing.points.push(this.fraction(at))
      drawing.last = at
    }
    this.draw({marksOnly: true})
  }

  finish() {
    const {drawing} = this
    this.drawing = this.corners = null
    if (drawing.kind === "paint") {
      this.painter.finish()
      return this.draw()
    }
    const step = Math.ceil(drawing.points.length / MOST_POINTS)
    const rounded = drawing.points.filter((_, index) => index % step === 0).map(point => point.map(value => Math.round(10 * value) / 10))
    const [first, last] = [rounded[0], rounded[rounded.length - 1]]
    const enough = drawing.kind === "box" ? first[0] !== last[0] && first[1] !== last[1] : drawing.kind === "brush" || rounded.length > 2
    if (enough) {
      const part = {op: drawing.op === "subtract" ? "subtract" : "add", kind: drawing.kind, points: rounded, radius: drawing.radius}
      this.parts = drawing.op === "new" ? [part] : [...this.parts, part]
      this.commitRegion()
    }
    this.draw()
  }

  commitRegion() {
    if (this.painter) return this.painter.showButtons() // the area is the hand's own
    this.tell("drawn", {tool: this.scene.mode, parts: this.parts})
  }

  /* ------------------------------------------------------------------ the address */

  commitSettings() {
    this.moving = false
    this.lifted = {values: {...this.settings}, at: performance.now()}
    this.writeAddress({...this.scene.address, ...Object.fromEntries(this.scene.controls.map(control =>
      [control.name, this.settings[control.name] === control.default ? null : String(this.settings[control.name])]))})
    this.tell("settings", {...this.settings})
  }

  /* The page's address names what is shown. A pixel that was chosen is an entry in the history; all else changes the
     entry that is there. Python does not write these names: its own writing would be an entry of its own. */
  writeAddress(names = this.scene.address, isNew = false) {
    const address = new URL(location.href), before = address.search, known = window.namesOfViewer ??= new Set()
    for (const [name, text] of Object.entries(names)) {
      known.add(name)
      if (text == null || text === "") address.searchParams.delete(name)
      else if (address.searchParams.get(name) !== text) address.searchParams.set(name, text)
    }
    if (address.search !== before) history[isNew ? "pushState" : "replaceState"](isNew ? {isChosen: true} : {}, "", address)
    this.scene.address = names
    this.pathname = location.pathname
  }

  /* After Back or Forward Streamlit runs the page again; a run of our own at the same time would disturb that one. */
  goBack() {
    if (location.pathname !== this.pathname) return
    clearTimeout(this.restoring)
    this.imageGoneTo = new URL(location.href).searchParams.get("image") // a removed one does not stay in the address
    this.restoring = setTimeout(() => this.restore(), 2000)
  }

  restore() {
    clearTimeout(this.restoring)
    this.restoring = null
    const address = new URL(location.href)
    const found = Object.fromEntries(Object.keys(this.scene.address).map(name => [name, address.searchParams.get(name)]))
    this.picked = this.lifted = null
    this.untold = {}
    this.scene.address = found
    this.tell("restored", {...found, image: this.imageGoneTo})
  }

  /* ------------------------------------------------------------------ words */

  showState(state) {
    this.root.dataset.live = this.scene?.live ? state : "none"
    if (!this.state) return
    const lost = this.scene?.live && state === "off" && this.channel.failures > 1
    this.state.textContent = !lost ? "" : this.painter ? "No live connection: what you paint shows when it is back" : "No live connection: click a pixel"
  }

  /* Once: what was said stays, with other controls or panels around it. */
  buildWords() {
    this.chips = element("span", {class: "chips"})
    this.sentence = element("span", {class: "sentence"})
    this.said = element("p", {class: "said"}, this.chips, this.sentence)
    this.numbers = element("dl", {class: "numbers", id: `numbers-${Math.random()}`})
    this.more = element("button", {type: "button", class: "small more", "aria-controls": this.numbers.id, onclick: () => {
      showsMore = !showsMore
      for (const viewer of viewers) viewer.showMore()
      if (showsMore) this.figures.scrollIntoView({block: "nearest"})
    }})
    this.figures = element("div", {class: "figures"}, this.numbers, this.more)
  }

  showWords({words}) {
    if (!words) return
    const shown = JSON.stringify(words)
    if (shown === this.shownWords) return
    this.shownWords = shown
    const {sentence, chips, numbers} = words, cells = [...this.numbers.children]
    this.chips.replaceChildren(...chips.map(chip))
    this.sentence.textContent = sentence
    this.said.hidden = !sentence && !chips.length
    this.figures.hidden = !numbers.length
    if (cells.length === numbers.length && cells.every((cell, index) => cell.firstChild.textContent === numbers[index][0]))
      cells.forEach((cell, index) => {
        cell.lastChild.textContent = numbers[index][1]
        cell.title = numbers[index][2] ?? ""
      })
    else {
      this.numbers.replaceChildren(...definitions(numbers))
      this.showMore()
    }
    this.hold(this.said)
  }

  /* What is below a text does not move while it grows and shrinks under the pointer. */
  hold(box) {
    const {offsetHeight} = box
    if (offsetHeight > (parseFloat(box.style.minHeight) || 0)) box.style.minHeight = `${offsetHeight}px`
  }

  showMore() {
    const more = this.numbers.children.length - FIRST_NUMBERS
    this.more.hidden = more <= 0
    this.more.setAttribute("aria-expanded", showsMore)
    this.more.textContent = showsMore ? "Less" : "More"
    this.more.title = showsMore ? "" : `${more} more number${more === 1 ? "" : "s"}`
    this.numbers.classList.toggle("all", showsMore)
  }

  showPins() {
    const pins = this.scene.pins ?? [], chosen = `${this.chosen()}`
    this.pins.hidden = !pins.length
    const focused = this.root.getRootNode().activeElement?.dataset?.pin
    this.pins.replaceChildren(...pins.map((pin, index) => {
      const canvas = element("canvas", {width: 192, height: 192})
      const here = `${pin.row},${pin.column}`
      const open = element("button", {type: "button", class: "open", "data-pin": index, "aria-pressed": here === chosen,
        "aria-label": `Show pin ${index + 1}, row ${pin.row}, column ${pin.column}`, onclick: () => this.pick(pin.row, pin.column)},
        element("span", {class: "number"}, `${index + 1}`), canvas)
      const remove = element("button", {type: "button", class: "remove", "aria-label": `Remove pin ${index + 1}`, title: "Remove this pin",
        onclick: () => this.unpin([pin.row, pin.column])}, "×")
      const numbers = element("dl", {}, ...definitions(pin.numbers))
      const card = element("div", {class: "pin", role: "listitem"}, open,
        element("div", {class: "about"}, element("strong", {}, `${pin.row}, ${pin.column}`), numbers), remove)
      pin.canvas = canvas
      return card
    }))
    if (focused != null) this.pins.querySelector(`[data-pin="${focused}"]`)?.focus({preventScroll: true})
  }

  showReadout() {
    const pixel = this.hover ?? this.chosen(), words = []
    if (pixel) {
      const [row, column] = pixel, [rows, columns] = this.scene.size, at = row * columns + column, said = new Set()
      words.push(["", `row ${row}, column ${column}`])
      let read = this.layers()
      if (this.scene.compact) {
        const {panels} = this.scene, panel = panels[this.over] ?? panels.find(one => one.chosen) ?? panels[0]
        words.push(["", panel.title])
        read = panel.layers
      }
      for (const layer of read) {
        if (said.has(layer.name) || layer.read === false || (layer.kind === "map" && !this.isShown(layer))) continue
        const value = this.valueAt(layer, row, column, at, rows * columns)
        if (value == null) continue
        said.add(layer.name)
        const name = (layer.title ?? layer.name) + ofChannels(layer.kind === "map" && this.mapOf(layer))
        if (!words.some(([other, known]) => other === name && known === value)) words.push([name, value])
      }
    }
    if (this.readoutNote) words.push(["", this.readoutNote])
    const length = words.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
    this.readout.replaceChildren(...words.map(([name, value]) => element("span", {}, name && `${name} `, element("b", {}, value))))
    if (length > (this.readout.longest ?? 0)) {
      this.readout.longest = length
      this.hold(this.readout)
    }
  }

  valueAt(layer, row, column, at, count) {
    if (layer.kind === "picture" && layer.intensities?.values) {
      const {values, shape} = layer.intensities
      return Array.from({length: shape[0]}, (_, channel) => written(values[channel * count + at])).join(", ")
    }
    if (layer.kind === "labels" && layer.values) return layer.classes[layer.values[at]] ?? "–"
    if (layer.kind === "map") {
      const map = this.mapOf(layer)
      if (layer.live && this.isLate) return "…"
      if (map) return `${written(map.at(row, column), 4)}${layer.unit && layer.readUnit ? ` ${map.unit || layer.unit}` : ""}`
    }
    return null
  }

  /* ------------------------------------------------------------------ painting */

  /* Marks alone follow the pointer; the layers below are painted again only where they change. */
  draw({marksOnly = false} = {}) {
    if (!marksOnly) this.stale = true
    if (this.frame || !this.scene) return
    this.frame = requestAnimationFrame(() => {
      this.frame = null
      if (!this.root.isConnected || !this.width) return
      if (this.stale) this.paintGround()
      this.stale = false
      this.scene.panels.forEach((panel, index) => this.paintOver(panel, this.panels[index]))
      this.showReadout()
      this.showPosition()
    })
  }

  paintGround() {
    const style = getComputedStyle(this.root)
    const ink = style.color.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0]
    this.isDark = ink[0] + ink[1] + ink[2] > 384
    this.root.classList.toggle("dark", this.isDark)
    this.ground = style.getPropertyValue("--st-secondary-background-color") || "#eee"
    this.scene.panels.forEach((panel, index) => this.paintPanel(panel, this.panels[index]))
    this.paintPins()
    this.showLegend()
    this.root.classList.toggle("late", this.isLate)
    const shown = this.painted
    if (shown) {
      Object.assign(this.root.dataset, {row: shown.row, column: shown.column, samples: shown.samples ?? ""})
      if (shown.asked != null) {
        this.root.dispatchEvent(new CustomEvent("painted", {bubbles: true, composed: true,
          detail: {row: shown.row, column: shown.column, milliseconds: performance.now() - shown.asked, at: performance.now()}}))
        shown.asked = null
      }
    }
    this.root.dataset.frames = +(this.root.dataset.frames ?? 0) + 1
    this.root.dataset.ready = [...this.layers()].every(layer =>
      (!layer.url || layer.picture) && !layer.waits)
  }

  get ratio() { return this.savedRatio ?? (window.devicePixelRatio || 1) }

  /* Run something that paints for a saved picture. */
  onPaper(paint) {
    const {isDark, ground} = this
    Object.assign(this, {isDark: false, ground: AROUND, savedRatio: SAVED_RATIO})
    try {
      return paint()
    } finally {
      Object.assign(this, {isDark, ground, savedRatio: null})
    }
  }

  /* A panel as it is on screen, on a canvas of its own, with its words and its colour bar. */
  pictureOf(index) {
    const panel = this.scene.panels[index], canvas = document.createElement("canvas"), context = this.context(canvas)
    const barred = this.paintLayers(context, panel, {scratch: new Map()}), map = this.mapOf(barred)
    this.paintRegion(context)
    this.paintMarks(context)
    return {canvas, title: panel.title, note: this.panels[index].note.textContent, bar: map && barred.bar ? this.barOf(barred, map) : null}
  }

  context(canvas) {
    const {ratio} = this
    const width = Math.round(this.width * ratio), height = Math.round(this.height * ratio)
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height})
    const context = canvas.getContext("2d")
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.clearRect(0, 0, width, height)
    context.setTransform(width / this.width, 0, 0, height / this.height, 0, 0)
    return context
  }

  paintOver(panel, {canvas}) {
    const context = this.context(canvas)
    canvas.style.touchAction = this.zoom > 1 || this.draws ? "none" : "pan-y"
    canvas.style.cursor = this.grip?.moved ? "grabbing" : panel.choosable && this.tool === "none" ? "pointer" : "crosshair"
    this.paintRegion(context)
    this.paintMarks(context)
    this.paintOverview(context, panel)
  }

  paintPanel(panel, part) {
    const barred = this.paintLayers(this.context(part.ground), panel, part)
    this.paintBar(part, barred)
    const map = barred && this.mapOf(barred), isLate = barred?.live && this.isLate
    const refine = this.scene.live?.refine
    const note = isLate ? "computing…" : barred?.live && refine?.length && map && this.shownSamples && map === this.maps.get(barred.name)
      ? `${this.shownSamples} of ${refine[refine.length - 1]} noisy copies` : barred && !map ? "computing…" : panel.note
    if (part.note.textContent !== note) part.note.textContent = note
  }

  /* Paint the layers of a panel; the uppermost map, which the colour bar is of. */
  paintLayers(context, panel, part) {
    context.fillStyle = this.ground
    context.fillRect(0, 0, this.width, this.height)
    const [x, y, width, height] = this.frameOfImage // just outside of it: where a map is 0 it looks like the ground
    context.strokeStyle = "rgba(128,128,128,0.6)"
    context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1)
    let barred = null
    for (const layer of panel.layers) {
      if (!this.isShown(layer)) continue
      this.paintLayer(context, layer, part)
      if (layer.kind === "map") barred = layer
    }
    this.paintGrid(context, panel)
    return barred
  }

  /* The classes that occur in labels on screen; without a colour, what stays clear. */
  classesShown(panels) {
    const found = new Map()
    for (const {layers} of panels)
      for (const layer of layers) {
        if (layer.kind !== "labels" || !layer.values || !this.isShown(layer)) continue
        for (const index of layer.values.seen ??= new Set(layer.values))
          if (layer.palette[index]) found.set(index, {name: layer.classes[index], colour: index === layer.clear ? null : `rgb(${layer.palette[index]})`})
      }
    return [...found].sort(([one], [other]) => one - other).map(([, named]) => named)
  }

  showLegend() {
    const classes = this.classesShown(this.scene.panels), shown = JSON.stringify(classes)
    if (this.legend.shown === shown) return
    this.legend.shown = shown
    this.legend.hidden = !classes.length
    this.legend.replaceChildren(...classes.map(({name, colour}) => element("span", {class: "class", role: "listitem", title: colour ? "" : "Not coloured"},
      element("i", {style: colour && `background: ${colour}`, class: colour ? "" : "clear"}), name)))
  }

  paintLayer(context, layer, part) {
    const opacity = this.value(layer.opacity) * (layer.live && this.isLate ? 0.3 : 1)
    const [rows, columns] = this.scene.size
    context.globalAlpha = 1
    if (layer.kind === "picture" && layer.patches) this.paintPatched(context, part, layer)
    else if (layer.kind === "picture" && layer.picture) {
      context.imageSmoothingEnabled = this.scale < 1
      context.imageSmoothingQuality = "high"
      context.drawImage(layer.picture, ...this.frameOfImage)
    } else if (layer.kind === "labels" && layer.values) {
      this.paintValues(context, part, layer, opacity, `${opacity}`, [0, 0, rows, columns], layer.values, (value, pixels, k) => {
        const colour = layer.palette[value]
        if (colour && value !== layer.clear) setPixel(pixels, k, colour)
      })
    } else if (layer.kind === "mask" && layer.values) {
      const colour = rgb(layer.colour)
      if (opacity) this.paintValues(context, part, layer, opacity, "", [0, 0, rows, columns], layer.values, (value, pixels, k) => {
        if (value) setPixel(pixels, k, colour)
      })
      this.outline(context, layer)
    } else if (layer.kind === "map") this.paintMap(context, part, layer, opacity)
    else if (layer.kind === "above") this.paintAbove(context, part, layer, opacity)
    else if (layer.kind === "shapes") for (const shape of layer.shapes) this.paintShape(context, shape)
    context.globalAlpha = 1
  }

  /* A picture that is painted on: to make a large one smaller takes long, so only what has changed is drawn anew. */
  paintPatched(context, part, {name, picture, patches}) {
    const {ratio, scale} = this, wanted = `${this.width},${this.height},${ratio},${scale},${this.centre}`
    let kept = part.scratch.get(name)
    const isSame = kept?.wanted === wanted && kept.patches === patches
    if (!isSame) kept = {canvas: document.createElement("canvas"), wanted, patches, done: 0}
    const view = kept.canvas, [rows, columns] = this.scene.size
    if (!isSame) {
      Object.assign(view, {width: Math.round(this.width * ratio), height: Math.round(this.height * ratio)})
      kept.done = patches.length
    }
    const onto = view.getContext("2d"), per = picture.height / rows
    onto.setTransform(view.width / this.width, 0, 0, view.height / this.height, 0, 0)
    onto.imageSmoothingEnabled = scale < 1
    onto.imageSmoothingQuality = "high"
    const around = Math.ceil(2 / scale) // pixels that share one on screen with those that have changed
    const areas = isSame ? patches.slice(kept.done) : [[0, 0, rows, columns]]
    for (const [top, left, bottom, right] of areas) {
      const [r0, c0] = [Math.max(0, top - around), Math.max(0, left - around)]
      const [r1, c1] = [Math.min(rows, bottom + around), Math.min(columns, right + around)]
      const [x, y] = this.toScreen(r0, c0)
      onto.drawImage(picture, c0 * per, r0 * per, (c1 - c0) * per, (r1 - r0) * per, x, y, (c1 - c0) * scale, (r1 - r0) * scale)
    }
    kept.done = patches.length
    part.scratch.set(name, kept)
    context.drawImage(view, 0, 0, this.width, this.height)
  }

  paintMap(context, part, layer, opacity) {
    const map = this.mapOf(layer)
    if (!map) return
    if (layer.dims) {
      context.globalAlpha = layer.dims
      context.fillStyle = "#000"
      context.fillRect(...this.frameOfImage)
      context.globalAlpha = 1
    }
    const {low, high, stops, bend} = this.scaleOf(layer, map), colours = table(stops)
    const start = bend(low), per = 255 / (bend(high) - start)
    const over = layer.over || this.value(layer.opacity) < 1
    if (!over) { // outside of its window the map is 0
      context.fillStyle = colourOfZero(colours, low, high)
      context.fillRect(...this.frameOfImage)
    }
    const box = [map.top, map.left, map.top + map.height, map.left + map.width], faint = layer.fading
    const floor = high * this.value(layer.floor), key = `${low},${high},${stops},${floor},${bend.name}`
    const paint = map.covers ? this.paintStretched : this.paintValues
    paint.call(this, context, part, layer, opacity, key, box, map.signed, (value, pixels, k) => {
      if (value !== value || Math.abs(value) < floor) return
      let at = Math.round((bend(value) - start) * per)
      at = 3 * (at < 0 ? 0 : at > 255 ? 255 : at)
      pixels[k] = colours[at]; pixels[k + 1] = colours[at + 1]; pixels[k + 2] = colours[at + 2]
      pixels[k + 3] = faint ? 255 * Math.min(1, Math.abs(value) / high) : 255
    }, map)
  }

  paintAbove(context, part, layer, opacity) {
    const source = this.named(layer.of), map = this.mapOf(source)
    if (!map || source.live && this.isLate) return
    const threshold = this.thresholdOf(layer, map)
    const box = [map.top, map.left, map.top + map.height, map.left + map.width], {signed, size} = map
    if (layer.tinted) this.paintValues(context, part, layer, opacity, `${threshold}`, box, size, (value, pixels, k, index) => {
      if (Math.abs(value) > threshold) setPixel(pixels, k, signed[index] >= 0 ? POSITIVE : NEGATIVE)
    }, map)
    if (map.boxed?.threshold !== threshold) map.boxed = {threshold, box: map.box(threshold)}
    if (map.boxed.box) this.paintShape(context, {kind: "box", ...map.boxed.box})
  }

  /* Paint all values of a map over the pixels that it covers; what lies in the padding of the image is cut off. */
  paintStretched(context, part, layer, opacity, key, box, values, colour, map) {
    let kept = part.scratch.get(layer.name)
    if (kept?.source !== map || kept.wanted !== key) {
      const canvas = document.createElement("canvas"), {width, height} = Object.assign(canvas, {width: map.width, height: map.height})
      const scratch = canvas.getContext("2d"), image = scratch.createImageData(width, height)
      values.forEach((value, index) => colour(value, image.data, 4 * index, index))
      scratch.putImageData(image, 0, 0)
      kept = {canvas, source: map, wanted: key}
      part.scratch.set(layer.name, kept)
    }
    const [x, y] = this.toScreen(0, 0), {scale} = this
    context.save()
    context.beginPath()
    context.rect(...this.frameOfImage)
    context.clip()
    context.globalAlpha = opacity
    context.imageSmoothingEnabled = scale * map.covers[1] < map.width
    context.drawImage(kept.canvas, x, y, map.covers[1] * scale, map.covers[0] * scale)
    context.restore()
  }

  /* Paint what is visible of values (h, w) within box, at most one value per device pixel. */
  paintValues(context, part, layer, opacity, key, [top, left, bottom, right], values, colour, source = values) {
    const {scale, ratio} = this
    const [r0, c0] = this.toImage(0, 0).map((value, axis) => Math.max([top, left][axis], Math.floor(value)))
    const [r1, c1] = this.toImage(this.width, this.height).map((value, axis) => Math.min([bottom, right][axis], Math.ceil(value)))
    if (r1 <= r0 || c1 <= c0) return
    const step = Math.max(1, Math.floor(1 / (scale * ratio)))
    const height = Math.ceil((r1 - r0) / step), width = Math.ceil((c1 - c0) / step)
    const wanted = `${key}|${r0},${c0},${r1},${c1},${step}`, {patches} = layer
    let kept = part.scratch.get(layer.name)
    const isSame = kept?.source === source && kept.wanted === wanted && kept.patches === patches
    // Of values that are painted on, only what has changed is painted anew.
    const areas = isSame ? patches?.slice(kept.done) ?? [] : [[r0, c0, r1, c1]]
    kept ??= {canvas: document.createElement("canvas")}
    const {canvas} = kept, across = right - left
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height})
    for (const [t, l, b, r] of areas) {
      const [i0, j0] = [Math.max(0, Math.ceil((t - r0) / step)), Math.max(0, Math.ceil((l - c0) / step))]
      const [i1, j1] = [Math.min(height, Math.ceil((b - r0) / step)), Math.min(width, Math.ceil((r - c0) / step))]
      if (i1 <= i0 || j1 <= j0) continue
      const scratch = canvas.getContext("2d"), image = scratch.createImageData(j1 - j0, i1 - i0), {data} = image
      for (let i = i0, k = 0; i < i1; i++) {
        let index = (r0 - top + i * step) * across + c0 - left + j0 * step
        for (let j = j0; j < j1; j++, k += 4, index += step) colour(values[index], data, k, index)
      }
      scratch.putImageData(image, j0, i0)
    }
    Object.assign(kept, {source, wanted, patches, done: patches?.length})
    part.scratch.set(layer.name, kept)
    const [x, y] = this.toScreen(r0, c0)
    context.globalAlpha = opacity
    context.imageSmoothingEnabled = scale * ratio < 1 && step === 1
    context.drawImage(kept.canvas, x, y, width * step * scale, height * step * scale)
    context.globalAlpha = 1
  }

  outline(context, layer) {
    const holder = layer.holder ?? layer
    if (!holder.edges) {
      const [rows, columns] = this.scene.size, {values} = layer, edges = new Path2D()
      const at = (r, c) => r < 0 || c < 0 || r === rows || c === columns ? 0 : values[r * columns + c]
      const [top, left, bottom, right] = holder.span ?? [0, 0, rows, columns] // where values differ from each other
      for (let r = top; r <= bottom; r++)
        for (let c = left; c <= right; c++) {
          const value = at(r, c)
          if (value !== at(r - 1, c)) { edges.moveTo(c, r); edges.lineTo(c + 1, r) }
          if (value !== at(r, c - 1)) { edges.moveTo(c, r); edges.lineTo(c, r + 1) }
        }
      holder.edges = edges
    }
    const [x, y] = this.toScreen(0, 0)
    context.save()
    context.translate(x, y)
    context.scale(this.scale, this.scale)
    for (const [colour, width] of [["rgba(0,0,0,0.65)", 3], ["#fff", 1.4]]) {
      context.strokeStyle = colour
      context.lineWidth = width / this.scale
      context.stroke(holder.edges)
    }
    context.restore()
  }

  /* A line that is seen on every ground: white, in a dark casing. */
  line(context, trace, {dash = [], width = 1.5, casing = 2} = {}) {
    for (const [colour, extra] of [["rgba(0,0,0,0.7)", casing], ["#fff", 0]]) {
      context.beginPath()
      trace()
      context.setLineDash(extra ? [] : dash)
      context.lineWidth = width + extra
      context.strokeStyle = colour
      context.stroke()
    }
    context.setLineDash([])
  }

  paintShape(context, shape) {
    if (shape.kind === "box") {
      const [x0, y0] = this.toScreen(shape.top, shape.left), [x1, y1] = this.toScreen(shape.bottom + 1, shape.right + 1)
      this.line(context, () => context.rect(x0, y0, x1 - x0, y1 - y0), {dash: [4, 3]})
    } else {
      const [x, y] = this.toScreen(shape.row + 0.5, shape.column + 0.5), radius = shape.radius * this.scale
      this.line(context, () => context.arc(x, y, radius, 0, 7))
      this.tag(context, shape.label, x, y - radius - 9)
    }
  }

  tag(context, text, x, y) {
    context.font = "600 11px sans-serif"
    context.textAlign = "center"
    context.textBaseline = "middle"
    const width = context.measureText(text).width + 8
    context.fillStyle = "rgba(20,23,28,0.8)"
    context.beginPath()
    context.roundRect(x - width / 2, y - 8, width, 16, 4)
    context.fill()
    context.fillStyle = "#fff"
    context.fillText(text, x, y + 0.5)
  }

  paintGrid(context, panel) {
    const {scale} = this
    if (scale < GRID_FROM) return
    const [rows, columns] = this.scene.size
    const [r0, c0] = this.toImage(0, 0).map(value => Math.max(0, Math.floor(value)))
    const [r1, c1] = this.toImage(this.width, this.height).map((value, axis) => Math.min([rows, columns][axis], Math.ceil(value)))
    context.beginPath()
    const [left, top] = this.toScreen(r0, c0), [right, bottom] = this.toScreen(r1, c1)
    for (let r = r0; r <= r1; r++) {
      const y = Math.round(this.toScreen(r, 0)[1]) + 0.5
      context.moveTo(left, y)
      context.lineTo(right, y)
    }
    for (let c = c0; c <= c1; c++) {
      const x = Math.round(this.toScreen(0, c)[0]) + 0.5
      context.moveTo(x, top)
      context.lineTo(x, bottom)
    }
    context.strokeStyle = "rgba(128,128,128,0.35)"
    context.lineWidth = 1
    context.stroke()
    if (scale < VALUES_FROM) return
    const said = [...panel.layers].reverse().find(layer => this.isShown(layer) && (layer.kind === "map" ? this.mapOf(layer) : layer.intensities?.values))
    if (!said) return
    context.font = "10px sans-serif"
    context.textAlign = "center"
    context.textBaseline = "middle"
    for (let r = r0; r < r1; r++)
      for (let c = c0; c < c1; c++) {
        const text = this.valueAt(said, r, c, r * columns + c, rows * columns) ?? "", [x, y] = this.toScreen(r + 0.5, c + 0.5)
        const parts = text.split(", ")
        parts.forEach((line, index) => {
          const at = y + 11 * (index - (parts.length - 1) / 2)
          context.lineWidth = 2.5
          context.strokeStyle = "rgba(0,0,0,0.75)"
          context.strokeText(line, x, at, scale - 4)
          context.fillStyle = "#fff"
          context.fillText(line, x, at, scale - 4)
        })
      }
  }

  paintMarks(context) {
    this.painter?.paintMarks(context)
    const cross = ([row, column], dash) => {
      const [x, y] = this.toScreen(row + 0.5, column + 0.5), [x0, y0] = this.toScreen(row, column)
      const gap = Math.max(this.scale / 2 + 2, 7), {scale} = this
      const [left, top] = this.toScreen(0, 0), [right, bottom] = this.toScreen(...this.scene.size)
      context.globalAlpha = 0.6
      this.line(context, () => {
        for (const [ax, ay, bx, by] of [[left, y, x - gap, y], [x + gap, y, right, y], [x, top, x, y - gap], [x, y + gap, x, bottom]]) {
          if (ax > bx || ay > by) continue
          context.moveTo(ax, ay)
          context.lineTo(bx, by)
        }
      }, {dash, width: 1, casing: 1})
      context.globalAlpha = 1
      const side = Math.max(scale, 5)
      this.line(context, () => context.rect(x - side / 2, y - side / 2, side, side), {width: 1.5})
    }
    const chosen = this.chosen(), {hover} = this
    if (chosen && !hover && this.scene.position !== "class") cross(chosen, [])
    else if (chosen && `${chosen}` !== `${hover}`) {
      const [x, y] = this.toScreen(chosen[0] + 0.5, chosen[1] + 0.5)
      const side = Math.max(this.scale, 7)
      this.line(context, () => context.rect(x - side / 2, y - side / 2, side, side), {width: 2})
    }
    if (hover && !(this.painter && this.tool === "paint")) cross(hover, this.byKey ? [] : [2, 3]);
    (this.scene.pins ?? []).forEach((pin, index) => {
      const [x, y] = this.toScreen(pin.row + 0.5, pin.column + 0.5)
      if (x < 0 || y < 0 || x > this.width || y > this.height) return
      this.line(context, () => context.arc(x, y, Math.max(4, this.scale / 2), 0, 7))
      this.tag(context, `${index + 1}`, x + 12, Math.max(9, y - 12))
    })
  }

  paintRegion(context) {
    const parts = [...(this.parts ?? []), ...(this.drawing && this.drawing.kind !== "paint" ? [this.drawing] : [])]
    for (const part of parts) {
      const points = part.points.map(([row, column]) => this.toScreen(row + 0.5, column + 0.5))
      const dash = part.op === "subtract" ? [5, 4] : []
      if (part.kind === "box") {
        const [[x0, y0], [x1, y1]] = points
        this.line(context, () => context.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0)), {dash})
      } else if (part.kind === "brush") {
        context.lineCap = context.lineJoin = "round"
        context.globalAlpha = 0.45
        context.strokeStyle = part.op === "subtract" ? "#000" : "#fff"
        context.lineWidth = Math.max(1, 2 * part.radius * this.scale)
        context.beginPath()
        points.forEach(([x, y], index) => index ? context.lineTo(x, y) : context.moveTo(x, y))
        context.lineTo(...points[0].map((value, axis) => points.length > 1 ? points[points.length - 1][axis] : value + 0.01))
        context.stroke()
        context.globalAlpha = 1
      } else this.line(context, () => {
        points.forEach(([x, y], index) => index ? context.lineTo(x, y) : context.moveTo(x, y))
        if (part !== this.drawing) context.closePath()
      }, {dash})
    }
  }

  /* Where the zoom lies: the whole image in a corner, and a frame around what is shown. */
  paintOverview(context, panel) {
    if (this.zoom <= 1.001) return
    const [rows, columns] = this.scene.size, picture = panel.layers.find(layer => layer.picture)?.picture
      ?? [...this.layers()].find(layer => layer.picture)?.picture
    const side = Math.min(96, this.width / 4, this.height / 3), per = Math.min(side / columns, side / rows)
    const width = Math.max(columns * per, 4), height = Math.max(rows * per, 4), x = this.width - width - 8, y = this.height - height - 8
    context.globalAlpha = 0.92
    context.fillStyle = "#222"
    context.fillRect(x, y, width, height)
    context.imageSmoothingEnabled = true
    if (picture) context.drawImage(picture, x, y, width, height)
    context.globalAlpha = 1
    const [r0, c0] = this.toImage(0, 0), [r1, c1] = this.toImage(this.width, this.height)
    const clip = (value, most) => Math.min(Math.max(value, 0), most) * per
    const [left, top, right, bottom] = [clip(c0, columns), clip(r0, rows), clip(c1, columns), clip(r1, rows)]
    this.line(context, () => context.rect(x, y, width, height), {width: 1})
    this.line(context, () => context.rect(x + left, y + top, Math.max(right - left, 2), Math.max(bottom - top, 2)), {width: 1.5})
  }

  paintBar({bar, index}, layer) {
    const map = layer && this.mapOf(layer)
    const beside = this.across === 1 ? [this.scene.panels[index]] : this.scene.panels // pictures side by side end at one height
    bar.hidden = !beside.some(panel => panel.layers.some(other => other.kind === "map" && other.bar && this.isShown(other)))
    bar.style.visibility = map && layer.bar ? "visible" : "hidden"
    if (!map) return
    const {stops, ticks: marks, unit: words} = this.barOf(layer, map), key = `${stops}|${marks}|${words}|${this.width}`
    if (bar.key === key) return
    bar.key = key
    const [canvas, ticks, unit] = bar.children, context = canvas.getContext("2d")
    canvas.width = 256
    const image = context.createImageData(256, 10), colours = table(stops)
    for (let k = 0; k < 2560; k++) {
      for (let j = 0; j < 3; j++) image.data[4 * k + j] = colours[3 * (k % 256) + j]
      image.data[4 * k + 3] = 255
    }
    context.putImageData(image, 0, 0)
    ticks.replaceChildren(...marks.map(([text, share], index) => element("span", {
      style: `left: ${100 * share}%; transform: translateX(${index === 0 ? 0 : index === marks.length - 1 ? -100 : -50}%)`}, text)))
    unit.textContent = words
  }

  /* The colours of a bar; the numbers below it, each with its place from 0 to 1; and the unit. */
  barOf(layer, map) {
    const {low, high, stops, bend} = this.scaleOf(layer, map), beyond = low >= 0 && map.largest > 1.0001 * high
    const isLog = bend === Math.log1p, size = Math.max(Math.abs(low), Math.abs(high))
    const power = isExtreme(size) && !isLog ? Math.floor(Math.log10(size)) : 0, factor = 10 ** power
    const values = isLog ? this.powersUpTo(high) : evenly(low, high, this.width < 200 ? 3 : 5)
    const ticks = values.map((value, index) => [(beyond && index === values.length - 1 ? "≥ " : "") + written(value / factor, isLog ? 4 : 2),
      (bend(value) - bend(low)) / (bend(high) - bend(low))])
    return {stops, ticks, unit: `${power ? `× ${powerOfTen(power)} ` : ""}${map.unit || layer.unit}${ofChannels(map)}`}
  }

  /* 0, the powers of ten and the end of a logarithmic colour bar, those left out that have no room. */
  powersUpTo(high) {
    const found = [high]
    for (let power = 10 ** Math.floor(Math.log10(high) + 1e-9); power >= 1; power /= 10) {
      const room = found.length > 1 ? TICK : TICK_BEFORE_END
      if (Math.log1p(found[0]) - Math.log1p(power) > room * Math.log1p(high) / this.width) found.unshift(power)
    }
    if (2 * Math.log1p(found[0]) < TICK * Math.log1p(high) / this.width) found.shift()
    return [0, ...found]
  }

  paintPins() {
    for (const pin of this.scene.pins ?? []) {
      const map = pin.map?.map
      if (!pin.canvas) continue
      const context = pin.canvas.getContext("2d"), side = pin.canvas.width
      if (!map) continue
      const {low, high, stops} = this.scaleOf(pin.map, map), colours = table(stops), per = 255 / (high - low)
      const wanted = `${low},${high},${stops}`
      if (pin.painted?.canvas === pin.canvas && pin.painted.map === map && pin.painted.wanted === wanted) continue
      pin.painted = {canvas: pin.canvas, map, wanted} // it stays while live maps follow the pointer
      const image = context.createImageData(map.width, map.height)
      for (let i = 0, k = 0; i < map.signed.length; i++, k += 4) {
        const at = 3 * Math.min(Math.max(Math.round((map.signed[i] - low) * per), 0), 255)
        image.data[k] = colours[at]; image.data[k + 1] = colours[at + 1]; image.data[k + 2] = colours[at + 2]; image.data[k + 3] = 255
      }
      const small = document.createElement("canvas")
      Object.assign(small, {width: map.width, height: map.height})
      small.getContext("2d").putImageData(image, 0, 0)
      const reach = Math.min(side / map.width, side / map.height)
      context.fillStyle = colourOfZero(colours, low, high)
      context.fillRect(0, 0, side, side)
      context.imageSmoothingEnabled = reach < 1
      context.drawImage(small, (side - map.width * reach) / 2, (side - map.height * reach) / 2, map.width * reach, map.height * reach)
    }
  }
}

const pinsText = pins => pins.map(pin => pin.join(",")).join(";")

export default function ({data, parentElement, setTriggerValue}) {
  const root = parentElement.querySelector(".viewer")
  if (!window.DecompressionStream || !window.createImageBitmap) {
    root.querySelector(".stuck").style.animationDelay = "0s" // what stands there offers plain pictures
    return
  }
  root.viewer ??= new Viewer(root)
  if (data.order < root.viewer.scene?.order) return // an earlier run's call, come late: in_order.py
  root.viewer.update(data, setTriggerValue)
  // A new run of the page calls this function again, on the same element.
  return () => setTimeout(() => {
    if (root.isConnected || !root.viewer) return
    root.viewer.destroy()
    root.viewer = null
  })
}
