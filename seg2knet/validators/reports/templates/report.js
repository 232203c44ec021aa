"use strict";
// Everything that comes from the data goes in as text, never as markup.
const { findings, thumbs } = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("list"), more = document.getElementById("more");
const text = document.getElementById("text"), rule = document.getElementById("rule"), file = document.getElementById("file");
const fix = document.getElementById("fix"), buttons = [...document.querySelectorAll("button[data-severity]")];
const PAGE = 60;
let matching = [], shown = 0;

function element(tag, className, content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (content !== undefined) made.textContent = content;
  return made;
}

function card(finding) {
  const made = element("article", "card finding" + (finding.known ? " known" : ""));
  const head = element("div", "head");
  head.append(element("b", finding.severity, finding.code), element("span", "soft", finding.name));
  if (finding.fix !== "none") head.append(element("span", "fix", finding.fix === "safe" ? "--fix" : "--fix --unsafe-fixes"));
  made.append(head);
  if (finding.thumb !== null) {
    const image = element("img");
    image.src = thumbs[finding.thumb];
    image.alt = finding.place;
    image.loading = "lazy";
    made.append(image);
  }
  made.append(element("p", "", finding.message));
  const facts = element("dl");
  for (const [word, value] of [["expected", finding.expected], ["found", finding.found], ["where", finding.place],
    ["file", finding.file], ["pointer", finding.pointer]]) {
    if (value) facts.append(element("dt", "", word), element("dd", word === "pointer" || word === "file" ? "path" : "", value));
  }
  made.append(facts);
  return made;
}

function fits(finding, severities, words) {
  return severities.has(finding.severity) && (!rule.value || finding.code === rule.value)
    && (!file.value || finding.file === file.value) && (!fix.value || finding.fix === fix.value)
    && words.every((word) => finding.words.includes(word));
}

function grow() {
  const next = matching.slice(shown, shown + PAGE);
  list.append(...next.map(card));
  shown += next.length;
  more.hidden = shown >= matching.length;
  document.getElementById("count").textContent =
    `${shown.toLocaleString("en")} of ${matching.length.toLocaleString("en")} matching findings shown`;
}

function apply() {
  const severities = new Set(buttons.filter((each) => each.getAttribute("aria-pressed") === "true").map((each) => each.dataset.severity));
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  matching = findings.filter((finding) => fits(finding, severities, words));
  shown = 0;
  list.replaceChildren();
  grow();
}

for (const finding of findings) {
  finding.words = [finding.code, finding.name, finding.message, finding.file, finding.place, finding.pointer,
    finding.expected, finding.found].join(" ").toLowerCase();
}
for (const button of buttons) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    apply();
  });
}
for (const row of document.querySelectorAll("tr[data-rule]")) {
  row.addEventListener("click", () => {
    rule.value = rule.value === row.dataset.rule ? "" : row.dataset.rule;
    apply();
    document.getElementById("filters").scrollIntoView({ block: "start" });
  });
}
for (const each of [rule, file, fix]) each.addEventListener("change", apply);
text.addEventListener("input", apply);
more.addEventListener("click", grow);
apply();
