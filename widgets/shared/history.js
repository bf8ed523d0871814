/* One entry of the browser's history per page opened. Streamlit empties the address of the page that is left, and puts
  each value that goes along into that of the new page by an entry of its own, so that Back would undo the values one
  by one, or find none; so until a page has come to rest and was touched, what changes its address replaces it, but for
  what a viewer says was chosen in it.
  Back to another page loads it by its address: Streamlit would give it the values of the one left. */
(() => {
  if (window.hasTidyHistory) return
  window.hasTidyHistory = true
  const app = document.querySelector("[data-testid=stApp]"), isRunning = () => app.dataset.testScriptState !== "notRunning"
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history)
  // What differs between entries; not the names of links.py that Back could not undo.
  const told = address => {
    const names = new URLSearchParams(address.search)
    for (const name of window.namesWrittenOnly) names.delete(name)
    return `${names}`
  }
  const isLink = element => element.matches?.("[data-testid=stSidebarNavLink], [data-testid=stPageLink-NavLink]")
  const mayLeave = element => element.matches?.("[data-leaves], [class*=st-key-leave_] button") // Python decides
  let path = location.pathname, hasRested = !isRunning(), isTouched = false, isLeaving = false, isAsking = false
  new MutationObserver(() => {
    if (isRunning()) return
    hasRested = true
    if (isAsking) isLeaving = isAsking = false // it stayed
  }).observe(app, {attributes: true, attributeFilter: ["data-test-script-state"]})
  for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, () => isTouched = true, true)
  addEventListener("blur", () => isTouched = true) // a press inside a frame
  addEventListener("click", event => {
    const link = event.composedPath().find(isLink), opensHere = !(event.ctrlKey || event.metaKey || event.shiftKey)
    isAsking = event.composedPath().some(mayLeave)
    isLeaving = isAsking || Boolean(link && opensHere && new URL(link.href).pathname !== path)
  }, true)
  history.pushState = (state, title, url) => {
    const address = new URL(url ?? "", location.href), isHere = address.pathname === path
    if (isHere && isLeaving) return // values of the next page, whose path is not here yet
    if (isHere && typeof url === "string") {
      const present = new URLSearchParams(location.search)
      for (const name of window.namesOfViewer ?? [])
        if (present.has(name) && !address.searchParams.has(name)) address.searchParams.set(name, present.get(name))
    }
    const isNew = !isHere || isTouched && (hasRested || state?.isChosen) && told(address) !== told(location)
    isTouched &&= !isNew // a touch makes one entry, however many values it changes
    if (isNew) push(state, title, address)
    else replace(state, title, address)
    if (isHere) return
    path = address.pathname
    window.namesOfViewer?.clear()
    hasRested = isTouched = isLeaving = isAsking = false
  }
  addEventListener("popstate", event => {
    isLeaving = false
    if (location.pathname === path) return
    event.stopImmediatePropagation()
    history.pushState = history.replaceState = () => {} // what a run of the page left still writes is not this address's
    location.reload()
  }, true)
})()
