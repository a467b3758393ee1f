"""The page in a real browser: nothing wider than the screen, no broken image, legible in light and dark."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from udaseg.report import collect, save, write

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")

PAPER = 673  # pixels between the margins of A4
# A window cannot be as narrow as a phone; a frame in it can.
HOST = """<!DOCTYPE html><body style="margin:0"><iframe srcdoc="{page}" style="border:0;width:{width}px;height:900px">
</iframe><pre id="measured"></pre><script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentWindow, page = inner.document;
  const style = inner.getComputedStyle(page.body);
  document.getElementById("measured").textContent = JSON.stringify({{
    needed: page.documentElement.scrollWidth, width: inner.innerWidth,
    images: [...page.images].map(image => image.complete && image.naturalWidth > 0),
    charts: [...page.querySelectorAll("svg")].map(chart => chart.getBoundingClientRect().width > 50),
    outside: [...page.querySelectorAll("body *")].filter(
      part => !part.closest("{apart}") && part.getBoundingClientRect().right > inner.innerWidth + 1
    ).map(part => part.tagName + ": " + part.textContent.slice(0, 40)),
    ink: style.color, paper: style.backgroundColor,
  }});
}});
</script>"""


def measure(page: str, folder, width: int, scheme: str, apart: str = ".scroll, svg") -> dict:
    return look(HOST.format(page=html.escape(page), width=width, apart=apart), folder, f"{width}-{scheme}", scheme)


def look(host_page: str, folder, name: str, scheme: str) -> dict:
    """Open a page that holds the report in a frame, and return what it measures there."""
    host = folder / f"host-{name}.html"
    host.write_text(host_page, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += [f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", "--window-size=1400,1000"]
    options += [f"--user-data-dir={folder / f'profile-{name}'}", "--dump-dom", host.as_uri()]
    dom = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=60, check=True).stdout
    return json.loads(html.unescape(re.search(r'<pre id="measured">(.+?)</pre>', dom)[1]))


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.fixture
def page(fake_run, tmp_path):
    """Three runs in one page, with the names that burst pages."""
    runs = [fake_run(name, seed=seed).whole() for seed, name in enumerate(("demo", "demo-" + "x" * 60))]
    odd = fake_run("odd", classes=("road", "a-very-long-name-of-a-class-without-any-space-in-it")).whole()
    odd.stage("extra", {"path": "/data/" + "y" * 200}, warnings=("z" * 300,), source="/data/" + "y" * 200)
    odd.prior(np.ones((2, 8, 16)))
    for number in (2, 3):
        odd.pseudolabel(f"round{number}/pseudolabel", [0.9, 0.5], [1000, 100], [200, 0])
    truth = {f"train_{i:06d}": runs[0].labels(i, 0.1) for i in range(5)}
    data = [
        collect(runs[0].root, runs[0].images(), truth=truth.get),
        collect(runs[1].root, bounds={"oracle": runs[0].root}),
        collect(odd.root),
    ]
    out = save(data, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Changes by refinement" in out
    return out


@pytest.fixture
def alike(fake_run, tmp_path):
    """Seeds of two experiments in one page, whose classes and images can be set side by side."""
    runs = [fake_run(f"a{seed}", seed=seed).whole(0.2, 0.3 + seed / 50).root for seed in range(3)]
    out = write([*runs, fake_run("b-" + "x" * 40, seed=0).whole(0.2, 0.4).root], tmp_path / "report.html")
    html = out.read_text(encoding="utf-8")
    assert "Where the runs disagree" in html
    return html


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
@pytest.mark.parametrize("which", ["page", "alike"])
def test_the_page_fits_its_screen_and_shows_every_picture(request, which, tmp_path, width, scheme):
    seen = measure(request.getfixturevalue(which), tmp_path, width, scheme)
    assert seen["width"] == width
    assert seen["needed"] <= width
    assert seen["outside"] == []
    assert len(seen["images"]) > 20
    assert all(seen["images"])
    assert all(seen["charts"])
    ink, paper = luminance(seen["ink"]), luminance(seen["paper"])
    assert (ink > paper) == (scheme == "dark")
    assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7  # WCAG AAA for text


@pytest.mark.parametrize("which", ["page", "alike"])
def test_on_paper_nothing_is_cut_off(request, which, tmp_path):
    """A4 without its margins, 673 pixels; there is nothing to scroll on paper."""
    page = request.getfixturevalue(which)
    assert "@media print" in page
    seen = measure(page.replace("@media print", "@media all"), tmp_path, PAPER, "light", "svg")
    assert seen["outside"] == []
    assert seen["needed"] <= PAPER


SLIDE = """<!DOCTYPE html><body style="margin:0"><iframe srcdoc="{page}" style="border:0;width:390px;height:900px">
</iframe><pre id="measured"></pre><script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentWindow, page = inner.document;
  const pair = page.querySelector(".slide"), slider = pair.querySelector("input");
  const [before, after] = pair.querySelectorAll("img"), seen = {{ sliders: page.querySelectorAll("input").length }};
  const place = image => {{ const box = image.getBoundingClientRect(); return [box.left, box.top, box.width]; }};
  const cut = () => inner.getComputedStyle(after).clipPath;
  Object.assign(seen, {{ before: place(before), after: place(after), cut: cut() }});
  if (slider) {{
    slider.value = 20;
    slider.dispatchEvent(new inner.Event("input"));
    seen.by_keys = cut();
    const box = before.getBoundingClientRect(), clientX = box.left + 0.75 * box.width;
    after.dispatchEvent(new inner.PointerEvent("pointerdown", {{ bubbles: true, buttons: 1, clientX }}));
    Object.assign(seen, {{ by_finger: cut(), value: slider.value, words: slider.ariaLabel }});
  }}
  document.getElementById("measured").textContent = JSON.stringify(seen);
}});
</script>"""


def test_a_slider_uncovers_the_model_before_adaptation(page, tmp_path):
    seen = look(SLIDE.format(page=html.escape(page)), tmp_path, "slide", "light")
    assert seen["sliders"] == page.count('class="slide"') > 0
    assert seen["before"] == seen["after"]  # one above the other
    assert (seen["cut"], seen["by_keys"], seen["by_finger"]) == tuple(
        f"inset(0px 0px 0px {at}%)" for at in (50, 20, 75)
    )
    assert seen["value"] == "75"
    assert seen["words"].startswith("source-only on the left, adapted on the right")


def test_without_scripts_the_two_images_stand_side_by_side(page, tmp_path):
    start, _, rest = page.rpartition("<script>")
    without = start + rest.partition("</script>")[2]
    seen = look(SLIDE.format(page=html.escape(without)), tmp_path, "plain", "light")
    assert (seen["sliders"], seen["cut"]) == (0, "none")
    (left, top, width), (left_after, top_after, width_after) = seen["before"], seen["after"]
    assert (top, width) == (top_after, width_after)
    assert left_after >= left + width
    assert width > 100


def test_no_other_script_than_that_of_the_page_runs(page, tmp_path):
    foreign = page.replace("</body>", "<script>document.body.remove()</script></body>")
    assert look(SLIDE.format(page=html.escape(foreign)), tmp_path, "foreign", "light")["sliders"] > 0
