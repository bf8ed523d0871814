/* One entry of the browser's history per page opened. Streamlit empties the address of the page that is left by an entry
   of its own, puts each value that goes along into that of the new page by another, and after Back takes away what it
   has just read; so Back would undo the values one by one, or lose them. */
(() => {
  if (window.hasTidyHistory) return
  window.hasTidyHistory = true
  const app = document.querySelector("[data-testid=stApp]")
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history)
  let path = location.pathname, isNew = true, isEmptied = false, isBack = false
  const arrive = () => {
    const isOther = location.pathname !== path
    path = location.pathname
    isNew ||= isOther
    return isOther
  }
  new MutationObserver(() => {
    if (app.dataset.testScriptState === "notRunning") isNew = isEmptied = isBack = false
  }).observe(app, {attributes: true, attributeFilter: ["data-test-script-state"]})
  history.pushState = (state, title, url) => {
    const {pathname, search} = new URL(url, location.href), isHere = pathname === path;
    (isHere ? isNew : isEmptied) ? replace(state, title, url) : push(state, title, url)
    isEmptied = isHere && !isNew && !search
    arrive()
  }
  history.replaceState = (state, title, url) => {
    if (!isBack || new URL(url, location.href).search.length > location.search.length) replace(state, title, url)
  }
  addEventListener("popstate", () => isBack = arrive())
})()
