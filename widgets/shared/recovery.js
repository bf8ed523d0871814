/* A page that went blank is loaded again. Streamlit's React takes the whole page away where what a run sends meets a
  tree that another run has changed ("Cannot set a node at a delta path"). The address, the kept files and work under way
  outlast a reload; a page that goes blank at once again stays so. */
(() => {
  if (window.recovers) return
  window.recovers = true
  const root = document.getElementById("root")
  new MutationObserver(() => {
    if (root.childElementCount || Date.now() - sessionStorage.loadedAgain < 10_000) return
    sessionStorage.loadedAgain = Date.now()
    location.reload()
  }).observe(root, {childList: true})
})()
