/* Visible text whose contrast with its background is below 4.5:1 (WCAG 2.1, success criterion 1.4.3), a sentence each.
   Left out: disabled controls, icons, and text on pictures. */
() => {
  const painter = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true})
  const rgba = colour => {
    painter.clearRect(0, 0, 1, 1)
    painter.fillStyle = colour
    painter.fillRect(0, 0, 1, 1)
    const [r, g, b, a] = painter.getImageData(0, 0, 1, 1).data
    return [r, g, b, a / 255]
  }
  const over = (front, back) => [0, 1, 2].map(index => front[index] * front[3] + back[index] * (1 - front[3]))
  const luminance = colour => {
    const [r, g, b] = colour.map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const parentOf = node => node.parentElement ?? node.getRootNode().host ?? null
  const found = new Set()
  const check = node => {
    const text = [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data.trim()).join(" ").trim()
    if (!text || !node.checkVisibility({opacityProperty: true, visibilityProperty: true})) return
    if (node.closest("[disabled], [aria-disabled=true], [data-testid=stIconMaterial], [role=img], [data-stale=true], .picture, script, style, title")) return
    const layers = [], {bottom} = node.getBoundingClientRect()
    let opacity = 1
    for (let at = node; at; at = parentOf(at)) {
      const style = getComputedStyle(at)
      opacity *= Number(style.opacity)
      if (at.disabled || style.backgroundImage !== "none") return
      const isAbove = at.matches("[data-testid=stSlider] *") && bottom <= at.getBoundingClientRect().top + 1 // its thumb
      if (!isAbove) layers.push(rgba(style.backgroundColor))
    }
    const back = layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255])
    const ink = rgba(getComputedStyle(node).color)
    ink[3] *= opacity
    const [light, dark] = [luminance(over(ink, back)), luminance(back)].sort((a, b) => b - a), ratio = (light + 0.05) / (dark + 0.05)
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: “${text.slice(0, 60)}”`)
  }
  const visit = root => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) visit(node.shadowRoot)
      check(node)
    }
  }
  visit(document.body)
  return [...found]
}
