
// Two images side by side become one with a slider, which a mouse, a finger and the keys of arrows move.
for (const pair of document.querySelectorAll(".slide")) {
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: 50 });
  slider.setAttribute("aria-label", pair.dataset.label);
  const show = () => pair.style.setProperty("--at", slider.value + "%");
  const follow = (event) => {
    if (event.buttons === 0 || event.target.tagName !== "IMG") return;
    const box = event.target.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    show();
  };
  slider.addEventListener("input", show);
  pair.addEventListener("pointerdown", follow);
  pair.addEventListener("pointermove", follow);
  pair.addEventListener("dragstart", (event) => event.preventDefault());
  pair.append(slider);
  pair.classList.add("live");
  pair.parentElement.classList.add("sliding");
  show();
}
