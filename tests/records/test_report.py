"""The report's page in a real browser, made of a small sweep's rows and bundles."""

import re
import shutil

import pytest
import torch

from dss_ray.api import load_solver
from dss_ray.bundle import SearchProvenance, save_bundle
from dss_ray.records.closeups import Closeup
from dss_ray.records.report import render_page, write_page
from dss_ray.records.report_data import Findings, report_document
from dss_ray.records.sample_plot import plot_samples

CHROMIUM = shutil.which("chromium")
NASTY = "<img src=x onerror=\"document.title='owned'\"></script><b>"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DARK = {"color_scheme": "dark"}
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def rows(row, final):
    """Two step counts, three kinds, a trial that was stopped and one that failed."""
    searched = {"method": "least-squares", "grid": "uniform", "evaluations": 2000, "seconds": 1.5}
    for nfe in (4, 5):
        yield final(
            f"s{nfe}", [1.0, 1.2], 0.9, nfe=nfe, trial=nfe, bundle=f"trials/s{nfe}/solver.json",
            params={"ridge": 1e-4}, fid_by_samples={50: 1.5, 100: 1.1}, **searched,
        )  # fmt: skip
        yield final(
            f"c:{nfe}",
            [3.0, 3.1],
            2.9,
            nfe=nfe,
            kind="classical",
            bundle=f"trials/c{nfe}/solver.json",
        )
        yield row(f"p{nfe}", nfe=nfe, kind="published", fid=2.0)
    yield row("early", trial=9, samples=50, stopped=True, fid=7.0, params={"ridge": 1e-2})
    yield row("bad", trial=10, status="failed", error=NASTY, fid=None, params={"ridge": 1.0})


def bundles(folder):
    """Those of the searched and the classical rows, with samples beside."""
    for nfe in (4, 5):
        bundle = load_solver("ab2", nfe)
        save_bundle(bundle, folder / f"trials/c{nfe}/solver.json")
        search = SearchProvenance(
            method="least-squares", grid="uniform", start="ab2", seed=0, samples=8, settings={},
            evaluations=1, seconds=1.0, reference_evaluations=1, reference_seconds=1.0,
            history={"least-squares": ((0, 0.5), (1, 0.1), (2, 0.02))},
        )  # fmt: skip
        place = folder / f"trials/s{nfe}"
        save_bundle(bundle.model_copy(update={"search": search}), place / "solver.json")
        plot_samples(torch.rand(4, 1, 8, 8), place / "samples.png", 2, ["teacher", "s"])


def closeup(row):
    knots = tuple(load_solver("ab2", row.nfe).table.knots.tolist())
    errors = tuple(0.1 * step for step in range(row.nfe + 1))
    images = torch.rand(3, 1, 8, 8)
    return Closeup(row.key, row.model, 1.0, row.nfe, row.kind, knots, errors, images, images)


@pytest.fixture(scope="module")
def site(tmp_path_factory, row, final):
    """The address of the page."""
    folder, found = tmp_path_factory.mktemp("night"), list(rows(row, final))
    bundles(folder)
    document = report_document(
        f"night {NASTY}",
        folder,
        found,
        Findings(
            manifest={
                "settings": {"seed": 7, "search": {"nfe": [4, 5]}},
                "versions": {"torch": "9"},
            },
            importances={"m": {"fid": {"ridge": 0.75, "grid": 0.25}, "rmse": {"ridge": 1.0}}},
            runs={"s4": "http://127.0.0.1:5000/#/experiments/1/runs/abc"},
            closeups=[closeup(row) for row in found if row.bundle],
            notes={"runs": [f"a note {NASTY}"]},
        ),
    )
    write_page(render_page(document), folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def visit(browser, address, **options):
    """The page, open; its console and its requests to anywhere else are in ``noise``."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(120_000)
    page.noise = []
    page.on("console", lambda message: page.noise.append(message.text))
    page.on("pageerror", lambda error: page.noise.append(str(error)))

    def gate(route):
        if route.request.url.startswith(("file:", "data:")):
            return route.continue_()
        page.noise.append(route.request.url)
        return route.abort()

    page.route("**/*", gate)
    page.goto(address)
    return page


@pytest.fixture(scope="module")
def desktop(browser, site):
    return visit(browser, site)


@pytest.fixture(scope="module")
def dark(browser, site):
    return visit(browser, site, **DARK)


def column(page, box, number):
    return page.locator(f"{box} tbody td:nth-child({number})").all_inner_texts()


@needs_browser
def test_the_page_is_drawn_without_a_complaint_and_without_the_network(desktop):
    assert desktop.locator("#front .point").count() >= 6
    assert desktop.locator(".chart .main-svg").count() > 8
    assert desktop.noise == []


@needs_browser
def test_text_of_a_sweep_is_never_markup(desktop):
    assert desktop.title().startswith(f"night {NASTY}")
    assert desktop.locator("h1").inner_text() == f"night {NASTY}"
    assert desktop.locator(".note").last.inner_text() == f"a note {NASTY}"
    assert desktop.locator("img[src=x]").count() == 0


@needs_browser
def test_the_verdict_is_told_in_a_sentence(desktop):
    assert "better than the best classical solver at 4 and 5 steps" in desktop.inner_text(
        "#verdict"
    )


@needs_browser
def test_a_click_on_a_head_sorts_numbers_as_numbers_and_another_turns_them_round(desktop):
    head = desktop.locator("#rows th", has_text="distance")
    place = desktop.locator("#rows th").all_inner_texts().index("distance") + 1
    head.get_by_role("button").click()
    rising = column(desktop, "#rows", place)
    head.get_by_role("button").click()
    falling = column(desktop, "#rows", place)
    numbers = [float(text) for text in rising if text != "-"]
    assert numbers == sorted(numbers) and rising[-1] == falling[-1] == "-"
    assert head.get_attribute("aria-sort") == "descending" and falling[:-1] == rising[-2::-1]


@needs_browser
def test_the_filter_leaves_what_has_all_the_words(desktop):
    desktop.fill("#filter", "ridge=0.01, stopped")
    assert desktop.locator("#rows tbody tr:visible").count() == 1
    assert desktop.inner_text("#shown") == "1 of 8"
    desktop.fill("#filter", "")


@needs_browser
def test_a_link_opens_the_page_of_a_trial_and_closing_it_leads_back(desktop):
    desktop.locator("#board a").first.click()
    dialog = desktop.locator("dialog")
    assert dialog.is_visible() and desktop.url.endswith("#trial-s4")
    assert "1.1000 ± 0.1000 on 2 fresh seeds" in dialog.inner_text()
    assert dialog.locator(".chart .main-svg").count() > 3
    assert dialog.locator("a[href$='runs/abc']").count() == 1
    desktop.keyboard.press("Escape")
    assert not dialog.is_visible() and "#trial" not in desktop.url


@needs_browser
def test_the_address_of_a_trial_opens_it_whatever_its_key(browser, site):
    page = visit(browser, f"{site}#trial-c%3A5")
    assert page.locator("#trial-head").inner_text() == "classical c:5"
    page.goto(f"{site}#trial-bad")
    assert NASTY in page.locator("dialog .note.bad").inner_text()
    page.goto(f"{site}#trial-%E0%A4%A")
    assert not page.locator("dialog").is_visible() and page.noise == []
    page.context.close()


@needs_browser
def test_hovering_a_point_shows_its_values_and_a_click_opens_it(desktop):
    point = desktop.locator("#front .trace").last.locator(".point").first
    point.hover(force=True)
    label = desktop.locator("#front .hovertext").text_content()
    assert "published p4" in label and "2.000 on 100 samples" in label
    point.click(force=True)
    assert desktop.inner_text("#trial-head") == "published p4"
    desktop.keyboard.press("Escape")


@needs_browser
def test_another_step_count_shows_its_solvers(desktop):
    desktop.locator("#counts label", has_text="4").click()
    assert desktop.locator("#closeups img").count() == 3
    assert "after step 4" not in desktop.inner_text("#closeups")
    cells = desktop.locator("#closeups .heatmap-label").all_text_contents()
    assert len(cells) == 10 and float(cells[0]) == 1.0


@pytest.mark.slow
@needs_browser
def test_dark_turns_page_and_charts_and_turns_back_at_once(dark, desktop):
    def colors(page):
        script = "getComputedStyle(document.querySelector('{}')).{}"
        places = (("body", "backgroundColor"), ("#front .xtick text", "fill"))
        return [page.evaluate(script.format(*place)) for place in places]

    assert colors(dark) == ["rgb(15, 19, 23)", "rgb(230, 234, 238)"]
    light = colors(desktop)
    assert light == ["rgb(255, 255, 255)", "rgb(28, 33, 38)"]
    dark.emulate_media(color_scheme="light")
    assert colors(dark) == light
    dark.emulate_media(color_scheme="dark")


@pytest.mark.slow
@needs_browser
def test_a_phone_scrolls_down_only_and_its_charts_fit(browser, site):
    page = visit(browser, site, **PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    charts = page.locator(".chart .main-svg").evaluate_all("all => all.map(x => x.clientWidth)")
    assert width == 390 and max(charts) < 390
    assert page.locator("#board .scroll").evaluate("box => box.scrollWidth > box.clientWidth")
    page.goto(f"{site}#trial-s5")
    assert page.locator("dialog").evaluate("box => box.scrollWidth <= box.clientWidth")
    page.context.close()


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("scheme", ["desktop", "dark"])
@pytest.mark.parametrize("place", ["", "#trial-s5"])
def test_everyone_can_use_it(request, site, scheme, place):
    from axe_playwright_python.sync_playwright import Axe

    page = request.getfixturevalue(scheme)
    page.goto(f"{site}{place}")
    found = Axe().run(page)
    page.goto(f"{site}#")
    assert found.violations_count == 0, found.generate_report()


def test_a_page_holds_its_data_once_and_no_address_to_load_from(site):
    from pathlib import Path
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    text = Path(url2pathname(urlparse(site).path)).read_text()
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert own.count('"error":') == 1 and "default-src 'none'" in own
    assert not re.search(r"<(link|iframe|script[^>]*src)|src=\"http|url\(", own)
