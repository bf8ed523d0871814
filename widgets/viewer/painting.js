/* Painting: what the hand does goes to the server, which answers with what has changed in the image, the labels and the
   maps. An action stays in the queue until an answer says that it was done, so that a lost connection loses nothing. */

const MOST_POINTS_SENT = 200, MOST_CORNERS = 200
const MOST_PATCHES = 1000
const REST_TO_CHECK = 500           // ms without an action until the server compares with a run of the whole image

const toTenths = point => point.map(value => Math.round(10 * value) / 10)

class Painter {
  constructor(viewer) {
    this.viewer = viewer
    this.client = `${Math.random()}`
    this.number = 0
    this.queue = []
    this.own = new Map()            // what layers show by their name, where an answer has changed it
    this.source = null              // the pixel that is cloned
    this.wants = null               // "sync" or "look", when nothing else is to be asked
    this.undo = element("button", {type: "button", class: "small", title: "Undo (Ctrl+Z)", onclick: () => this.act({do: "undo"})}, "Undo")
    this.redo = element("button", {type: "button", class: "small", title: "Redo (Ctrl+Shift+Z)", onclick: () => this.act({do: "redo"})}, "Redo")
    this.restore = element("button", {type: "button", class: "small", title: "Bring the original image back; it can be undone",
      onclick: () => this.act({do: "restore"})}, "Restore all")
    this.fill = element("button", {type: "button", class: "small", title: "Do to the whole area what the brush does",
      onclick: () => this.act({do: "fill", parts: this.sentParts()})}, "Fill area")
    this.buttons = element("div", {class: "painting"}, this.undo, this.redo, this.restore, this.fill)
  }

  /* ------------------------------------------------------------------ what is shown */

  /* A scene of the page: what it shows counts only where it is newer than the answers. */
  adopt(paint) {
    const isSame = this.paint?.id === paint.id
    this.paint = paint
    if (isSame && paint.version <= this.version) return
    this.own.clear()
    this.version = paint.version
    this.can = {undo: paint.undo, redo: paint.redo}
    if (!isSame) {
      this.queue = []
      this.source = null
    }
  }

  /* Whether the words and the layers of the scene are older than what answers said. */
  get isAhead() { return this.version > this.paint.version }

  /* Give a layer what is shown in it by now; false where the scene's own values are to be taken. */
  provide(layer) {
    const kept = this.own.get(layer.name)
    if (!kept) return false
    Object.assign(layer, kept)
    layer.waits = false
    return true
  }

  take(answer) {
    const {viewer} = this, {state} = answer
    const [first] = this.queue
    if (first && state.client === this.client) {
      const isMine = state.number === first.number
      if (first.do === "stroke" && isMine) first.applied = state.applied
      if (first.do === "move" ? isMine && state.turn === first.turn : state.done >= first.number) this.queue.shift()
    }
    if (state.from !== this.version) this.wants = "sync"
    if (state.from === this.version || state.isWhole) {
      if (state.isWhole) this.wants = null
      let {start} = answer
      for (const [name, {shape, window: corner, kind}] of Object.entries(answer.maps)) {
        const count = shape.reduce((product, length) => product * length, 1), bytes = count * KINDS[kind].BYTES_PER_ELEMENT
        this.patch(name, new KINDS[kind](answer.content.slice(start, start + bytes)), shape, corner)
        start += bytes
      }
      this.version = state.version
      this.can = {undo: state.undo, redo: state.redo}
      viewer.showWords(answer)
    }
    this.showButtons()
    viewer.painted = {row: answer.row, column: answer.column, asked: this.sentAt ?? answer.asked, samples: null}
    viewer.draw()
    this.ask()
  }

  /* The server could not do what comes first. */
  fail() {
    this.queue.shift()
    this.stroke = null
    this.wants = "sync"
    this.ask()
  }

  /* Put values into all layers of a name. */
  patch(name, values, shape, [top, left]) {
    const {viewer} = this, [rows, columns] = viewer.scene.size, [channels, height, width] = shape
    const layer = viewer.named(name)
    if (!layer) return
    const isWhole = height === rows && width === columns
    let kept = this.own.get(name)
    if (!kept) {
      kept = this.copyOf(layer, isWhole)
      if (!kept) { // not there yet
        this.wants = "sync"
        return
      }
      this.own.set(name, kept)
    }
    const copyRows = (from, to, plane) => {
      for (let r = 0; r < height; r++)
        to.set(from.subarray((plane * height + r) * width, (plane * height + r + 1) * width), (plane * rows + top + r) * columns + left)
    }
    if (layer.kind === "picture") {
      for (let c = 0; c < channels; c++) copyRows(values, kept.intensities.values, c)
      this.paintPicture(kept.picture, values, shape, [top, left])
    } else if (layer.kind === "map") {
      copyRows(values, kept.map.signed, 0)
      for (const value of values) if (Math.abs(value) > kept.map.largest) kept.map.largest = kept.map.largestSize = Math.abs(value)
    } else {
      copyRows(values, kept.values, 0)
      if (kept.values.seen) for (const value of new Set(values)) kept.values.seen.add(value)
      if (layer.kind === "mask") kept.holder = {span: this.spanOf(values, shape, [top, left], isWhole ? null : kept.holder?.span ?? [0, 0, rows, columns])}
    }
    if (kept.patches.length > MOST_PATCHES) kept.patches = []
    kept.patches.push([top, left, top + height, left + width])
    for (const other of viewer.layers()) if (other.name === name) this.provide(other)
  }

  /* The box [top, left, bottom, right] around all values that are not 0, those of a patch and those known before. */
  spanOf(values, [, height, width], [top, left], known) {
    let [r0, c0, r1, c1] = known ?? [Infinity, Infinity, 0, 0]
    for (let r = 0, i = 0; r < height; r++)
      for (let c = 0; c < width; c++, i++)
        if (values[i]) {
          r0 = Math.min(r0, top + r)
          c0 = Math.min(c0, left + c)
          r1 = Math.max(r1, top + r + 1)
          c1 = Math.max(c1, left + c + 1)
        }
    return [r0, c0, r1, c1]
  }

  /* What a layer shows as values of its own: those of the scene serve others, too. */
  copyOf(layer, isWhole) {
    const {viewer} = this, [rows, columns] = viewer.scene.size, count = rows * columns
    if (layer.kind === "picture") {
      if (!layer.picture || !layer.intensities?.values) return null
      const canvas = document.createElement("canvas")
      Object.assign(canvas, {width: layer.picture.width, height: layer.picture.height})
      canvas.getContext("2d").drawImage(layer.picture, 0, 0)
      return {picture: canvas, patches: [], intensities: {...layer.intensities, values: layer.intensities.values.slice()}}
    }
    if (layer.kind === "map") {
      if (!layer.map && !isWhole) return null
      const signed = layer.map ? layer.map.signed.slice() : new Float32Array(count)
      return {map: new ScalarMap(signed, [1, rows, columns], [0, 0], null), patches: []}
    }
    if (!layer.values && !isWhole) return null
    return {values: layer.values ? Uint16Array.from(layer.values) : new Uint16Array(count), patches: []} // classes may come that need two bytes
  }

  paintPicture(canvas, values, [channels, height, width], [top, left]) {
    const [rows] = this.viewer.scene.size, per = canvas.height / rows, count = height * width
    const image = new ImageData(width, height), {data} = image
    for (let i = 0, k = 0; i < count; i++, k += 4) {
      if (channels === 3) for (let c = 0; c < 3; c++) data[k + c] = Math.round(255 * values[c * count + i])
      else {
        let sum = 0
        for (let c = 0; c < channels; c++) sum += values[c * count + i]
        data[k] = data[k + 1] = data[k + 2] = Math.round(255 * sum / channels)
      }
      data[k + 3] = 255
    }
    const context = canvas.getContext("2d")
    if (per === 1) return context.putImageData(image, left, top)
    const small = document.createElement("canvas") // an image that is too large for a canvas is shown smaller
    Object.assign(small, {width, height})
    small.getContext("2d").putImageData(image, 0, 0)
    context.drawImage(small, left * per, top * per, width * per, height * per)
  }

  showButtons() {
    const {can, viewer} = this
    if (!can) return
    this.undo.disabled = !can.undo
    this.redo.disabled = !can.redo
    this.restore.disabled = !can.undo && !can.redo
    this.fill.hidden = !viewer.parts?.length
  }

  /* ------------------------------------------------------------------ what is asked */

  act(action) {
    this.queue.push({...action, number: ++this.number, applied: 0, turn: 0, asked: performance.now()})
    this.ask()
    return this.queue[this.queue.length - 1]
  }

  /* Ask for what waits; while a request is under way, its answer asks. */
  ask() {
    const {viewer} = this, {channel, scene} = viewer
    clearTimeout(this.checking)
    if (channel.flying) return
    const [first] = this.queue
    if (!first && !this.wants) {
      this.checking = setTimeout(() => this.rest(), REST_TO_CHECK)
      return
    }
    const isIdleStroke = first?.do === "stroke" && !first.ended && first.points.length === first.applied
    if (isIdleStroke) return
    const [row, column] = viewer.chosen() ?? [0, 0]
    channel.ask({row, column, revision: scene.revision, compose: () => this.compose()}, first?.asked)
    if (first) first.asked = null
  }

  /* What is sent: as it is now, for more points may have come since it was asked for. */
  compose() {
    const [first] = this.queue, {settings} = this.viewer, common = {client: this.client, number: first?.number ?? this.number}
    if (!first || this.wants === "sync") {
      const wanted = this.wants ?? "look"
      if (wanted !== "sync") this.wants = null
      this.sentAt = null
      return {settings, action: {...common, do: wanted}}
    }
    const {applied: from, asked, moved, ended, points, settings: own, ...action} = first
    this.sentAt = moved ?? asked // the newest movement that the answer takes in
    if (action.do === "stroke") {
      const sent = points.slice(from, from + MOST_POINTS_SENT)
      Object.assign(action, {from, points: sent, end: Boolean(ended) && from + sent.length === points.length})
    } else if (action.do === "move") action.end = Boolean(ended)
    return {settings: own ?? settings, action: {...common, ...action}}
  }

  look() {
    this.wants ??= "look"
    this.ask()
  }

  /* When the hand rests: what was computed in parts is compared with a run of the whole image. */
  rest() {
    if (this.version === this.checked || this.queue.length || this.viewer.channel.state !== "on") return
    this.checked = this.version
    this.wants ??= "check"
    this.ask()
  }

  /* ------------------------------------------------------------------ the hand */

  begin(point, event) {
    const {viewer} = this
    const settings = {...viewer.settings}, isClone = settings.brush === "clone"
    if (isClone && (event.altKey || !this.source)) { // the first click says where from
      this.source = point.map(Math.round)
      this.offset = null
      viewer.draw({marksOnly: true})
      return false
    }
    if (isClone) this.offset ??= this.source.map((value, axis) => value - Math.round(point[axis]))
    this.stroke = this.act({do: "stroke", points: [toTenths(point)], settings, offset: this.offset ?? [0, 0]})
    return true
  }

  extend(point) {
    if (!this.stroke) return
    this.stroke.moved = performance.now()
    this.stroke.points.push(toTenths(point))
    this.ask()
  }

  finish() {
    if (!this.stroke) return
    this.stroke.ended = true
    this.stroke = null
    this.ask()
  }

  /* ------------------------------------------------------------------ areas */

  sentParts() {
    return this.viewer.parts.map(({op, kind, points}) => {
      const step = Math.ceil(points.length / MOST_CORNERS)
      return {op, kind, points: points.filter((_, index) => index % step === 0).map(toTenths)}
    })
  }

  holds(point) {
    let inside = false
    for (const {op, kind, points} of this.viewer.parts ?? []) {
      let within = false
      if (kind === "box") within = point.every((value, axis) => value >= Math.min(points[0][axis], points[1][axis]) && value <= Math.max(points[0][axis], points[1][axis]))
      else for (let i = 0, j = points.length - 1; i < points.length; j = i++) {
        const [[r0, c0], [r1, c1]] = [points[i], points[j]]
        if (r0 > point[0] !== r1 > point[0] && point[1] < (c1 - c0) * (point[0] - r0) / (r1 - r0) + c0) within = !within
      }
      if (within) inside = op !== "subtract"
    }
    return inside
  }

  /* Take hold of the area, if the point lies in it. */
  grasp(point, event) {
    const {viewer} = this
    if (viewer.op !== "new" || event.shiftKey || !this.holds(point)) return false
    this.hold(point, event.altKey || Boolean(viewer.settings.copy))
    return true
  }

  hold(from, copy) {
    const action = this.act({do: "move", parts: this.sentParts(), offset: [0, 0], copy})
    this.held = {from, parts: [...this.viewer.parts], action}
  }

  drag(point) {
    const {held, viewer} = this, offset = point.map((value, axis) => Math.round(value - held.from[axis]))
    if (`${offset}` === `${held.action.offset}`) return
    held.action.offset = offset
    held.action.turn++
    held.action.asked = performance.now()
    // The former place may have been answered already: it is asked for again, as the same action.
    if (!this.queue.includes(held.action)) this.queue.push(held.action)
    viewer.parts = held.parts.map(part => ({...part, points: part.points.map(one => one.map((value, axis) => value + offset[axis]))}))
    this.ask()
    viewer.draw({marksOnly: true})
  }

  letGo() {
    const {held} = this
    this.held = null
    held.action.ended = true
    held.action.turn++
    if (!this.queue.includes(held.action)) this.queue.push(held.action)
    this.ask()
  }

  /* Whatever the hand holds, it lets go of. */
  release() {
    if (this.held) this.letGo()
    this.finish()
  }

  nudge(by, event) {
    if (!this.viewer.parts?.length) return false
    this.hold([0, 0], Boolean(this.viewer.settings.copy))
    this.drag(by.map(value => value * (event.shiftKey ? 10 : 1)))
    this.letGo()
    return true
  }

  /* ------------------------------------------------------------------ marks */

  paintMarks(context) {
    const {viewer} = this, {hover, settings, scale} = viewer
    const ring = ([row, column], radius, dash) => {
      const [x, y] = viewer.toScreen(row + 0.5, column + 0.5)
      viewer.line(context, () => context.arc(x, y, Math.max(radius * scale, 1.5), 0, 7), {dash, width: 1, casing: 1.5})
    }
    if (viewer.tool === "paint" && hover) {
      ring(hover, settings.size + 0.5, [])
      if (settings.softness) ring(hover, settings.size * (1 - settings.softness) + 0.5, [2, 3])
    }
    if (viewer.tool === "paint" && settings.brush === "clone" && this.source) {
      const from = this.offset && hover ? hover.map((value, axis) => value + this.offset[axis]) : this.source
      ring(from, settings.size + 0.5, [4, 3])
      const [x, y] = viewer.toScreen(from[0] + 0.5, from[1] + 0.5)
      viewer.tag(context, "from", x, y - settings.size * scale - 10)
    }
  }
}

