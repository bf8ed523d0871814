/* What is wrong with the layout of a page, one sentence each: text that is cut off or wrapped inside a button, boxes with
   text that overlap, and a page that scrolls sideways. Looks into shadow trees, and at what is visible only. */
() => {
  const found = new Set()
  const seen = node => {
    const style = getComputedStyle(node)
    return node.checkVisibility({opacityProperty: true, visibilityProperty: true}) && style.clipPath === "none"
  }
  const bar = document.querySelector("[data-testid=stSidebar]"), isClosed = bar && bar.getBoundingClientRect().right < 2
  const isAway = node => isClosed && isInside(node, bar)
  const ownText = node => [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.data.trim()).join(" ").trim()
  const words = text => `“${text.replace(/\s+/g, " ").slice(0, 60)}”`
  const parentOf = node => node.parentElement ?? node.getRootNode().host ?? null
  const isInside = (node, other) => {
    for (let at = node; at; at = parentOf(at)) if (at === other) return true
    return false
  }

  /* The part of a box that no scrolling or clipping ancestor hides. */
  const visiblePart = (node, box) => {
    let {left, top, right, bottom} = box
    for (let at = parentOf(node); at; at = parentOf(at)) {
      const style = getComputedStyle(at), frame = at.getBoundingClientRect()
      if (style.overflowX !== "visible") [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)]
      if (style.overflowY !== "visible") [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)]
      if (style.position === "fixed") break
    }
    return {left, top, right, bottom}
  }
  const isFloating = node => {
    for (let at = node; at; at = parentOf(at))
      if (["fixed", "sticky"].includes(getComputedStyle(at).position)) return true
    return false
  }

  const texts = []
  const visit = root => {
    for (const node of root.querySelectorAll("*")) {
      if (node.shadowRoot) visit(node.shadowRoot)
      const text = ownText(node)
      const isField = node.matches("input, textarea, select, option")
      if (!text && !isField || node.matches("script, style, title, svg *, .sr-only") || isAway(node) || !seen(node)) continue
      const style = getComputedStyle(node), box = node.getBoundingClientRect()
      if (box.width < 2 || box.height < 2) continue
      const hides = style.overflowX !== "visible" && style.overflowX !== "auto" && style.overflowX !== "scroll"
      if (text && hides && node.scrollWidth > node.clientWidth + 1) found.add(`cut off: ${words(text)}`)
      if (node.matches("input[type=text], input[type=number]") && node.scrollWidth > node.clientWidth + 1)
        found.add(`cut off in its field: ${words(node.value)}`)
      if (!text) continue
      const range = document.createRange(), boxes = []
      for (const child of node.childNodes) {
        if (child.nodeType !== 3 || !child.data.trim()) continue
        range.selectNodeContents(child)
        boxes.push(...range.getClientRects())
      }
      const lines = new Set(boxes.map(line => Math.round(line.top / 4)))
      const button = node.closest("button, [role=radio], [role=tab]")
      if (button && lines.size > 1 && !button.matches("[data-wraps]")) found.add(`wrapped in its button: ${words(text)}`)
      for (const line of boxes) {
        const part = visiblePart(node, line)
        if (part.right - part.left < 2 || part.bottom - part.top < 2) continue
        if (part.right - part.left < line.width - 1.5 && !hides) found.add(`cut off by its surroundings: ${words(text)}`)
        texts.push({node, text, ...part, floating: isFloating(node)})
      }
    }
  }
  visit(document)

  texts.sort((a, b) => a.top - b.top)
  texts.forEach((one, index) => {
    for (let at = index + 1; at < texts.length && texts[at].top < one.bottom; at++) {
      const other = texts[at]
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left)
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top)
      if (across < 2 || down < 4 || one.node === other.node || one.floating !== other.floating) continue
      if (isInside(one.node, other.node) || isInside(other.node, one.node)) continue
      found.add(`overlap: ${words(one.text)} and ${words(other.text)}`)
    }
  })

  for (const scroller of [document.documentElement, ...document.querySelectorAll(isClosed ? "[data-testid=stMain]" : "[data-testid=stMain], [data-testid=stSidebarContent]")])
    if (scroller.scrollWidth > scroller.clientWidth + 1)
      found.add(`scrolls sideways: ${scroller.dataset.testid ?? "the page"}, ${scroller.scrollWidth} in ${scroller.clientWidth} pixels`)
  const title = document.querySelector("h1"), header = document.querySelector("[data-testid=stHeader]")
  if (title && header && getComputedStyle(header).backgroundColor !== "rgba(0, 0, 0, 0)" && document.querySelector("[data-testid=stMain]").scrollTop === 0) {
    const under = header.getBoundingClientRect().bottom - title.getBoundingClientRect().top
    if (under > 1) found.add(`title under the header by ${Math.round(under)} pixels`)
  }
  return [...found]
}
