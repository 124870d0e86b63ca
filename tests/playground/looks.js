// What a person would see wrong in a page, found by measuring it. Each function returns sentences; none is good.
"use strict";

const isVisible = (element) => element.checkVisibility({ opacityProperty: true }) && !element.closest(".unseen, .skip");
const nameOf = (element) => element.id || element.className || element.textContent.trim().slice(0, 30) || element.tagName;

/** Return what is left of a box inside those of its ancestors that cut off what does not fit. */
function clip({ left, right, top, bottom }, element) {
  for (let each = element; each !== document.body; each = each.parentElement) {
    if (getComputedStyle(each).overflowX === "visible") continue;
    const outer = each.getBoundingClientRect();
    [left, right, top, bottom] = [Math.max(left, outer.left), Math.min(right, outer.right), Math.max(top, outer.top), Math.min(bottom, outer.bottom)];
  }
  return { left, right, top, bottom };
}

/** The boxes of every piece of text and every control that is shown: two of them must not lie on each other. */
function findOverlaps() {
  const boxes = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!isVisible(element) || element.closest("select, svg, canvas, progress")?.matches(":not(select)")) continue;
    if (element.matches("button, a, input, select, textarea, .wave, progress")) boxes.push({ element, box: element.getBoundingClientRect() });
    else if (!element.closest("button, a, select, textarea"))
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) {
          const shown = clip(box, element);
          if (shown.right > shown.left && shown.bottom > shown.top) boxes.push({ element, box: shown });
        }
      }
  }
  const faults = [];
  boxes.forEach(({ element, box }, index) => {
    if (box.left < -0.5 || box.right > innerWidth + 0.5) faults.push(`${nameOf(element)} reaches from ${box.left} to ${box.right}, beyond the ${innerWidth} px that are there`);
    for (const other of boxes.slice(index + 1)) {
      const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (element !== other.element && width > 1 && height > 2) faults.push(`${nameOf(element)} and ${nameOf(other.element)} lie on each other, ${width} × ${height} px`);
    }
  });
  return { n_boxes: boxes.length, faults };
}

function luminance([red, green, blue]) {
  const linear = [red, green, blue].map((each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

const parts = (colour) => colour.match(/[\d.]+/g).map(Number);

/** Text that has less than 4.5 times the contrast of what it stands on (WCAG AA), placeholders too. */
function findFaintTexts() {
  const faults = [];
  let n_texts = 0;
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!isVisible(element) || element.matches("option, :disabled, [type=range], [type=checkbox]") || !(hasText || element.matches("input, textarea"))) continue;
    let under = element;
    while (under && (parts(getComputedStyle(under).backgroundColor)[3] ?? 1) < 1) under = under.parentElement;
    const paper = luminance(parts(getComputedStyle(under).backgroundColor));
    for (const part of element.placeholder ? [undefined, "::placeholder"] : [undefined]) {
      const ink = luminance(parts(getComputedStyle(element, part).color));
      const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
      n_texts++;
      if (contrast < 4.5) faults.push(`${nameOf(element)}${part ?? ""} has a contrast of ${contrast.toFixed(2)}`);
    }
  }
  return { n_texts, faults };
}
