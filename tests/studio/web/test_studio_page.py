"""The page in a real browser: what people see and do, from the drop of a photo to the download."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio_harness import Server, clip_bytes, installed, picture_bytes, wait_until

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",  # a camera
]  # fmt: skip
SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
MISSING = [
    reason for there, reason in (
        (CHROMIUM, "no chromium (apt-get install chromium)"),
        (installed("gradio", "6."), "no Gradio 6 (impasto[studio])"),
        (installed("playwright", "1."), "no playwright (impasto[dev])"),
    ) if not there
]  # fmt: skip

# A browser that hangs is killed, and its test begun again, once.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.flaky(reruns=1, only_rerun=["TargetClosedError"]),
]
if MISSING and not os.environ.get("IMPASTO_DEMAND_BROWSER"):
    pytest.skip(", ".join(MISSING), allow_module_level=True)

av = pytest.importorskip("av", reason="clips need impasto[video]")

MILLISECONDS = 90_000  # for each thing that is waited for
LIMIT = 240.0  # seconds, for all of a test
hung = 0  # browsers, so far


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    assert not MISSING, f"the browser's tests are demanded here: {MISSING}"
    started = Server(
        tmp_path_factory.mktemp("studio"), "--max-megabytes", "1", "--max-pixels", "4000000",
        "--max-clip-megabytes", "1", "--max-frames", "60",
    )  # fmt: skip
    yield started
    started.end()


@pytest.fixture(scope="module")
def playwright():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture
def browser(playwright):
    """A browser for each test: one that hangs takes no other test with it.

    Many of playwright's calls wait for ever. Once the browser is gone, they fail.
    """
    assert hung < 3, "three browsers hung: so would this one"
    mark = f"--test-{uuid.uuid4()}"  # Chromium minds no flags that it does not know
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, mark])
    watchdog = threading.Timer(LIMIT, kill_marked, [mark])
    watchdog.daemon = True
    watchdog.start()
    yield launched
    launched.close()  # ends it even where a page's scripts do not
    watchdog.cancel()


def kill_marked(mark: str) -> None:
    """Kill the browser that was started with a flag."""
    global hung
    hung += 1
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture
def visit(browser, server):
    """Open the page as a new visitor; whatever goes wrong in its scripts fails the test."""
    contexts, faults, requests = [], [], []
    server.get("/api/limits")  # else each test would wait for a page that never comes

    def call(script=None, **options):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        if script is not None:
            context.add_init_script(script)
        context.set_default_timeout(MILLISECONDS)
        contexts.append(context)
        return look(context)

    def look(context):
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(server.address)
        page.wait_for_selector("body[data-ready=yes]")
        return page

    call.again = look
    call.requests = requests
    yield call
    for context in contexts:
        listed = context.request.get(f"{server.address}/api/jobs", timeout=30_000)
        for job in listed.json():
            if job["state"] in ("queued", "running", "paused"):
                cancel = f"{server.address}/api/jobs/{job['id']}/cancel"
                context.request.post(cancel, timeout=30_000)
    assert faults == []


def file(name: str, seed: int, size=(48, 40)):
    return {"name": name, "mimeType": "image/png", "buffer": picture_bytes(seed, size)}


def give(page, role, *files):
    before = page.locator(f".picker[data-role={role}] .tile").count()
    page.set_input_files(f"input[type=file][data-role={role}]", [*files])
    wait = f"document.querySelectorAll('.picker[data-role={role}] .tile').length"
    page.wait_for_function(f"{wait} == {before + len(files)}")


def give_both(page):
    give(page, "content", file("photo.png", 1))
    give(page, "styles", file("painting.png", 2))


def fill(page, name, value, kind="stylize"):
    page.fill(f"#{kind}-{name} input[type=number]", str(value))
    page.keyboard.press("Tab")


def begin(page, *, size=48, steps=6, kind="stylize"):
    fill(page, "long_side", size, kind)
    fill(page, "steps", steps, kind)
    page.click(f"#start-{kind}")
    page.wait_for_function("sessionStorage.getItem('impasto-job')")
    return page.evaluate("sessionStorage.getItem('impasto-job')")


def wait_state(page, *states):
    page.wait_for_selector(",".join(f".easel[data-state={each}]" for each in states))


def wait_painted(page):
    page.wait_for_selector("#easel .after[data-preview]")


def keep(page, name, **options):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)


@pytest.mark.slow
def test_a_photo_is_painted_watched_downloaded_and_redone(visit, server, tmp_path, command):
    page = visit()
    keep(page, "empty")
    give_both(page)
    page.wait_for_function(
        "/about/.test(document.querySelector('#shown-estimate-stylize').innerText)"
    )
    begin(page, size=64, steps=500)
    seen = set()

    def changing():
        seen.add(page.get_attribute("#easel .after", "data-preview"))
        return len(seen - {None}) >= 3 or page.query_selector(".easel[data-state=done]")

    wait_until(changing, "three previews")
    assert len(seen - {None}) >= 3
    assert re.search(r"Step\s+\d+ of 500", page.inner_text("#easel .facts"))
    assert "Remaining" in page.inner_text("#easel .facts")
    keep(page, "watching")
    page.click("[data-do=stop]")
    wait_state(page, "stopped", "done")
    with page.expect_download() as download:
        page.click(".downloads a >> text=PNG")
    assert download.value.suggested_filename == "photo-painting.png"
    page.wait_for_function("document.querySelector('[data-code=command]').textContent")
    assert "impasto stylize photo.png painting.png" in page.text_content("[data-code=command]")
    assert "impasto.stylize(" in page.text_content("[data-code=python]")
    page.click("[data-do=compare]")
    page.wait_for_selector(".before:visible")
    keep(page, "compare")

    begin_number = page.locator(".strip button").count()
    page.evaluate("sessionStorage.removeItem('impasto-job')")
    begin(page, size=40, steps=3)
    wait_state(page, "done")
    page.wait_for_function(
        f"document.querySelectorAll('.strip button').length == {begin_number + 1}"
    )
    page.wait_for_selector(".downloads a")
    with page.expect_download() as download:
        page.click(".downloads a >> text=PNG")
    result = tmp_path / "result.png"
    download.value.save_as(result)
    (tmp_path / "photo.png").write_bytes(picture_bytes(1, (48, 40)))
    (tmp_path / "painting.png").write_bytes(picture_bytes(2, (48, 40)))
    outcome = command("redo", result, "-o", tmp_path / "redone.png", "--threads", 1, "--quiet")
    assert outcome.code == 0, outcome.err
    assert np.array_equal(Image.open(result), Image.open(tmp_path / "redone.png"))


# Every answer about a job comes 1.5 s late, three times as long as between two looks.
SLOW = """
const quickly = window.fetch;
window.fetch = async (path, options) => {
  const answer = await quickly(path, options);
  if (/api.jobs.[^/]+$/.test(path)) await new Promise((go) => setTimeout(go, 1500));
  return answer;
};"""


def test_a_slow_server_is_followed(visit):
    page = visit(SLOW)
    give_both(page)
    begin(page, steps=40)
    wait_painted(page)
    wait_state(page, "done")
    assert page.inner_text(".easel .state") == "Done"


def test_a_browser_that_hangs_is_ended(playwright):
    mark = f"--test-{uuid.uuid4()}"
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, mark])
    page = launched.new_page()
    before, watchdog = hung, threading.Timer(2, kill_marked, [mark])
    watchdog.start()
    with pytest.raises(Exception, match="has been closed"):
        page.evaluate("while (true);")
    assert hung == before + 1
    globals()["hung"] = before


SEND = """([target, kind, role, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" }));
  const options = { bubbles: true, cancelable: true };
  document.querySelector(target).dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: data })
    : new ClipboardEvent("paste", { ...options, clipboardData: data }));
}"""


def test_pictures_are_dropped_pasted_and_taken(visit):
    page = visit()
    page.evaluate(SEND, [".picker[data-role=styles]", "drop", "styles", [*picture_bytes(1)]])
    page.wait_for_selector(".picker[data-role=styles] .name >> text=drop.png")
    page.evaluate(SEND, ["body", "paste", "", [*picture_bytes(2)]])
    page.wait_for_selector(".picker[data-role=content] .name >> text=paste.png")
    page.click("[data-camera=styles]")
    page.wait_for_function("document.querySelector('#camera video').videoWidth")
    page.click("[data-snap]")
    page.wait_for_selector(".picker[data-role=styles] .name >> text=camera.png")
    page.click("[aria-label='Remove drop.png']")
    assert page.locator(".tile").count() == 2


def test_a_mask_is_uploaded_softened_and_downloaded(visit, server, tmp_path):
    page = visit()
    give_both(page)
    page.click(".picker[data-role=content] .tile .mask")
    mask = np.zeros((40, 48), np.uint8)
    mask[:, :24] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "png")
    page.set_input_files(
        "[data-mask-file]",
        [{"name": "half.png", "mimeType": "image/png", "buffer": buffer.getvalue()}],
    )
    page.wait_for_function("""() => {
      const canvas = document.querySelector("#masks canvas");
      return canvas.getContext("2d").getImageData(2, 2, 1, 1).data[3] === 255;
    }""")
    page.fill("#feather", "3")
    with page.expect_download() as download:
        page.click("[data-mask=download]")
    download.value.save_as(tmp_path / "mask.png")
    saved = np.asarray(Image.open(tmp_path / "mask.png").convert("L"))
    assert saved.shape[1] * 40 == saved.shape[0] * 48
    assert saved[:, : saved.shape[1] // 2 - 20].min() == 255
    assert saved[:, saved.shape[1] // 2 + 20 :].max() == 0
    page.click("[data-mask=use]")
    page.wait_for_selector(".picker[data-role=content] .mask >> text=Mask ✓")
    job = begin(page, size=32, steps=2)
    request = server.wait(job, lambda found: found["state"] == "done")["request"]
    assert request["settings"]["feather"] == 3
    assert len(request["pictures"]["masks"]) == 1


def test_a_mask_of_another_shape_is_not_stretched(visit):
    page = visit()
    give_both(page)
    page.click(".picker[data-role=content] .tile .mask")
    for size, fits in (((40, 40), False), ((96, 20), False), ((97, 80), True)):
        buffer = io.BytesIO()
        Image.new("L", size, 255).save(buffer, "png")
        name = f"{size[0]}.png"
        page.set_input_files(
            "[data-mask-file]",
            [{"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}],
        )
        if fits:
            page.wait_for_function("""() => {
              const canvas = document.querySelector("#masks canvas");
              return canvas.getContext("2d").getImageData(2, 2, 1, 1).data[3] === 255;
            }""")
        else:
            said = f"{name} is {size[0]} x {size[1]} px, which is not the shape of the picture"
            page.wait_for_selector(f"#masks .explain >> text={said}, 48 x 40")


def brush_the_middle(page, role: str) -> None:
    """Brush a broad white line from left to right, by the mouse: what stays the photo."""
    page.click(f".picker[data-role={role}] .tile .mask")
    page.wait_for_selector("#masks[open]")
    page.wait_for_function("document.querySelector('#masks img').naturalWidth")
    page.click(".swatches label >> text=Keep the photo")
    page.fill("#brush-width", "40")
    box = page.locator("#masks canvas").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 1, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, middle, steps=10)
    page.mouse.up()
    keep(page, f"mask_{role}")
    page.click("[data-mask=use]")
    page.wait_for_selector(f".picker[data-role={role}] .mask >> text=Mask ✓")


def test_what_is_brushed_white_stays_the_photo(visit, server):
    page = visit()
    give_both(page)
    brush_the_middle(page, "content")
    job = begin(page, size=48, steps=5)
    wait_state(page, "done")
    photo = np.asarray(Image.open(io.BytesIO(picture_bytes(1, (48, 40)))).convert("RGB")).astype(
        int
    )
    answer = page.request.get(f"{server.address}/api/jobs/{job}/result?format=png")
    painted = np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)
    assert painted.shape == photo.shape == (40, 48, 3)
    far = np.abs(painted - photo).max(-1)
    assert far[18:22, 4:44].max() <= 1
    assert far[:5].mean() > 5


def test_pause_resume_and_new_weights(visit, server):
    page = visit()
    give_both(page)
    job = begin(page, size=64, steps=2000)
    wait_painted(page)
    page.click("[data-do=pause]")
    wait_state(page, "paused")
    paused = server.get(f"/api/jobs/{job}")["step"]
    page.click("[data-do=resume]")
    wait_state(page, "running")
    server.wait(job, lambda found: found["step"] > paused)
    page.click("summary >> text=Change the weights")
    page.focus(".steer [name=style_weight]")
    page.keyboard.press("ArrowRight")
    found = server.wait(job, lambda found: found["request"]["settings"]["style_weight"] != 20)
    assert found["request"]["settings"]["style_weight"] == 25
    page.click("[data-do=stop]")
    wait_state(page, "stopped")
    page.wait_for_selector(".downloads a")


def test_cancel_keeps_nothing(visit):
    page = visit()
    give_both(page)
    begin(page, size=64, steps=2000)
    wait_painted(page)
    page.click("[data-do=cancel]")
    wait_state(page, "cancelled")
    assert not page.is_visible(".downloads")


@pytest.mark.slow
def test_two_tabs_have_a_job_each_and_a_reload_finds_it_again(visit):
    page = visit()
    give_both(page)
    first = begin(page, size=64, steps=2000)
    wait_painted(page)
    other = visit.again(page.context)
    other.wait_for_function("sessionStorage.getItem('impasto-job')")  # it shows what is painted
    give_both(other)
    other.evaluate("sessionStorage.removeItem('impasto-job')")
    second = begin(other, size=40, steps=3)
    assert second != first
    other.wait_for_selector("#easel .state >> text=number 1 in the queue")
    keep(other, "queued")
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    wait_painted(page)
    assert page.evaluate("sessionStorage.getItem('impasto-job')") == first
    assert page.text_content(".picker[data-role=content] .name") == "photo.png"
    page.click("[data-do=stop]")
    wait_state(page, "stopped", "done")
    wait_state(other, "done")
    page.wait_for_function("document.querySelectorAll('.strip button').length == 2")


def test_a_wrong_file_and_a_large_one_get_one_sentence_each(visit):
    page = visit()
    wrong = {"name": "notes.png", "mimeType": "image/png", "buffer": b"no picture at all"}
    page.set_input_files("input[data-role=content]", [wrong])
    line = page.locator("#message-pictures")
    page.wait_for_function("document.querySelector('#message-pictures').textContent")
    assert "notes.png" in line.inner_text()
    assert "\n" not in line.inner_text()
    keep(page, "wrong_file")
    large = {"name": "large.png", "mimeType": "image/png", "buffer": bytes(1_500_000)}
    page.set_input_files("input[data-role=content]", [large])
    page.wait_for_selector("#message-pictures >> text=large.png has 1.5 MB; the studio allows 1 MB")
    wide = {"name": "wide.png", "mimeType": "image/png", "buffer": _plain(2100, 2000)}
    page.set_input_files("input[data-role=content]", [wide])
    page.wait_for_selector("#message-pictures >> text=wide.png")
    assert page.locator(".tile").count() == 0
    give_both(page)
    assert line.inner_text() == ""


def _plain(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(buffer, "png")
    return buffer.getvalue()


def test_a_wrong_setting_is_said_beside_the_button(visit):
    page = visit()
    give_both(page)
    fill(page, "style_weight", -3)
    page.click("#start-stylize")
    page.wait_for_selector("#message-stylize >> text=style_weight")
    assert page.get_attribute(".easel", "data-state") == "empty"


@pytest.mark.slow
def test_nothing_is_asked_of_another_machine(visit, server):
    page = visit(color_scheme="dark")
    page.click("[data-gallery=styles]")
    page.wait_for_selector("#gallery[open] .tiles img")
    keep(page, "gallery_dark")
    page.click("#gallery .tiles button >> nth=0")
    page.wait_for_selector(".tile img")
    for tab in ("Video", "Texture", "Recolor", "Reconstruct", "Grid", "Paint"):
        page.get_by_role("tab", name=tab, exact=True).click()
        kind = {"Paint": "stylize"}.get(tab, tab.lower())
        page.wait_for_selector(f"#start-{kind}:visible")
        keep(page, f"tab_{tab.lower()}_dark", full_page=True)
    page.get_by_text("More settings").first.click()
    page.wait_for_selector("#stylize-optimizer:visible")
    keep(page, "more_dark", full_page=True)
    foreign = [each for each in visit.requests
               if not each.startswith((server.address, "data:", "blob:"))]  # fmt: skip
    assert foreign == []
    assert any(each.endswith("studio.js") for each in visit.requests)


@pytest.mark.slow
def test_recipes_fill_the_form_and_a_picture_is_made_again(visit, server):
    page = visit()
    give(page, "content", file("photo.png", 1))
    give(page, "styles", file("one.png", 2), file("two.png", 3))
    page.click(".card >> text=gatys")
    page.wait_for_function("document.querySelector('#stylize-style_weight input').value == '1000'")
    page.locator(".share input").nth(1).fill("0.5")
    job = begin(page, size=32, steps=2)
    wait_state(page, "done")
    request = server.get(f"/api/jobs/{job}")["request"]
    assert request["recipe"] == "gatys"
    assert request["settings"]["style_weight"] == [1000, 500]
    page.click(".card >> text=default")
    page.wait_for_function("document.querySelector('#stylize-style_weight input').value == '20'")
    page.click("[data-do=again]")
    page.wait_for_function("document.querySelector('#stylize-style_weight input').value == '1000'")
    assert page.locator("input[name=recipe-stylize]:checked").get_attribute("value") == "gatys"
    assert page.locator(".share input").nth(1).input_value() == "0.5"
    assert page.input_value("#stylize-steps input[type=number]") == "2"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["texture", "recolor", "reconstruct"])
def test_the_other_kinds(visit, kind):
    page = visit()
    give_both(page)
    page.get_by_role("tab", name=kind.capitalize(), exact=True).click()
    page.wait_for_selector(f"#start-{kind}:visible")
    if kind == "texture":
        fill(page, "width", 40, kind)
        fill(page, "height", 32, kind)
        fill(page, "steps", 3, kind)
    elif kind == "reconstruct":
        fill(page, "long_side", 40, kind)
        fill(page, "steps", 3, kind)
    page.click(f"#start-{kind}")
    wait_state(page, "done")
    page.wait_for_selector(".downloads a")
    page.wait_for_function("document.querySelector('[data-code=command]').textContent")
    assert f"impasto {kind}" in page.text_content("[data-code=command]")
    keep(page, kind)


@pytest.mark.slow
def test_a_grid_over_two_settings(visit):
    page = visit()
    give_both(page)
    fill(page, "long_side", 32)
    fill(page, "steps", 2)
    page.get_by_role("tab", name="Grid", exact=True).click()
    page.fill("#grid-these :is(input, textarea)", "5, x")
    page.click("#start-grid")
    page.wait_for_selector("#message-grid >> text=enter numbers, separated by commas")
    page.fill("#grid-these :is(input, textarea)", "5, 80")
    page.click("#start-grid")
    page.wait_for_function("document.querySelectorAll('[data-cell][data-ended] img').length == 4")
    heads = page.locator(".grid-view th[scope=col]").all_inner_texts()
    assert heads == ["style weight 5", "style weight 80"]
    keep(page, "grid")


def open_video(page, count=25, **options):
    """Go to the tab Video, and give it a clip and a painting."""
    page.get_by_role("tab", name="Video", exact=True).click()
    page.wait_for_selector("#start-video:visible")
    clip = {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": clip_bytes(count, **options)}
    give(page, "clip", clip)
    give(page, "styles", file("painting.png", 2))
    fill(page, "long_side", 48, "video")
    fill(page, "steps", 4, "video")


def share_done(page):
    """Frame and frames that are shown."""
    found = re.search(r"Frame\s+(\d+) of (\d+)", page.inner_text("#easel .facts"))
    return None if found is None else (int(found[1]), int(found[2]))


@pytest.mark.slow
def test_a_clip_is_previewed_painted_watched_and_downloaded(visit, server, tmp_path):
    page = visit()
    open_video(page, sound=True)
    assert "25 frames" in page.inner_text(".picker[data-role=clip] .tile")
    fill(page, "frame_steps", 3, "video")
    page.wait_for_function(
        "/25 frames of 48 × 36 px · about/.test("
        "document.querySelector('#shown-estimate-video').innerText)"
    )
    keep(page, "video", full_page=True)
    page.click("#start-preview")
    wait_state(page, "done")
    page.wait_for_selector(".downloads a >> text=PNG")
    assert re.search(r"Picture\s+3 of 3", page.inner_text("#easel .facts"))
    keep(page, "video_sheet")
    page.evaluate("sessionStorage.removeItem('impasto-job')")
    page.click("#start-video")
    page.wait_for_selector(".easel[data-state=running]")
    seen = set()

    def changing():
        seen.add(share_done(page))
        return page.query_selector(".easel[data-state=done]")

    wait_until(changing, "the clip")
    assert len(seen - {None}) >= 3
    assert {each[1] for each in seen - {None}} == {25}
    page.wait_for_function("document.querySelector('.film').videoWidth == 48")
    with page.expect_download() as download:
        page.click(".downloads a >> text=MP4")
    assert download.value.suggested_filename == "clip-painting.mp4"
    result = tmp_path / "result.mp4"
    download.value.save_as(result)
    with av.open(str(result)) as made:
        assert sum(1 for _ in made.decode(video=0)) == 25
        assert len(made.streams.audio) == 1
    page.wait_for_function("document.querySelector('[data-code=command]').textContent")
    assert "impasto video clip.mp4 painting.png -o" in page.text_content("[data-code=command]")
    assert not page.is_visible("[data-do=compare]")
    page.wait_for_function("document.querySelectorAll('.strip button').length == 2")
    keep(page, "video_done")
    page.get_by_role("tab", name="Paint", exact=True).click()
    page.wait_for_selector(".picker[data-role=content]:visible")
    assert not page.is_visible(".picker[data-role=clip]")
    page.click("[data-do=again]")
    page.wait_for_selector(".picker[data-role=clip] .tile:visible")
    page.wait_for_function("document.querySelector('#video-frame_steps input').value == '3'")


def test_a_clip_is_paused_stopped_and_kept(visit, server):
    page = visit(color_scheme="dark")
    open_video(page)
    fill(page, "frame_steps", 500, "video")
    page.click("#start-video")
    wait_until(lambda: (share_done(page) or (0,))[0] >= 2, "the second frame")
    keep(page, "video_dark", full_page=True)
    page.click("[data-do=pause]")
    wait_state(page, "paused")
    page.click("[data-do=resume]")
    wait_state(page, "running")
    page.click("[data-do=stop]")
    wait_state(page, "stopped")
    page.wait_for_function("document.querySelector('.film').videoWidth == 48")
    job = page.evaluate("sessionStorage.getItem('impasto-job')")
    kept = page.request.get(f"{server.address}/api/jobs/{job}/result")
    with av.open(io.BytesIO(kept.body())) as made:
        assert 1 <= sum(1 for _ in made.decode(video=0)) < 25
    page.reload()
    page.wait_for_selector(".film:visible")
    page.get_by_role("tab", name="Video", exact=True).click()
    page.wait_for_selector(".picker[data-role=clip] .name >> text=clip.mp4")


def test_a_note_on_a_clip_is_no_error(visit):
    page = visit()
    open_video(page, 2)
    fill(page, "long_side", 47, "video")
    fill(page, "frame_steps", 2, "video")
    assert page.inner_text("#easel .notes") == ""
    page.click("#start-video")
    wait_state(page, "done")
    page.wait_for_selector("#easel .notes >> text=H.264 needs even sides: the last row and column")
    assert page.inner_text("#easel .notes").endswith("47 x 35 px become 48 x 36")
    assert page.inner_text("#easel .message") == ""


def test_what_is_brushed_white_stays_the_clip_in_every_frame(visit, server):
    page = visit()
    open_video(page, 6)
    brush_the_middle(page, "clip")
    fill(page, "frame_steps", 8, "video")
    page.click("#start-video")
    wait_state(page, "done")
    job = page.evaluate("sessionStorage.getItem('impasto-job')")
    kept = page.request.get(f"{server.address}/api/jobs/{job}/result").body()
    with av.open(io.BytesIO(kept)) as made, av.open(io.BytesIO(clip_bytes(6))) as own:
        pairs = zip(*(each.decode(video=0) for each in (made, own)), strict=True)
        far = [np.abs(_gray(one) - _gray(other)) for one, other in pairs]
    assert len(far) == 6
    for each in far:
        assert each[15:21, 4:44].mean() < 0.25 * each[:4].mean()
    page.click(".picker[data-role=clip] .tile .mask")
    page.wait_for_selector("#masks[open]")
    page.click("[data-mask=none]")
    page.wait_for_selector(".picker[data-role=clip] .mask >> text=Mask…")


def _gray(frame) -> np.ndarray:
    return frame.to_ndarray(format="gray").astype(int)


def test_a_wrong_clip_gets_one_sentence_and_a_long_one_is_to_be_cut(visit):
    page = visit()
    page.get_by_role("tab", name="Video", exact=True).click()
    page.wait_for_selector("#start-video:visible")
    playlist = {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": b"#EXTM3U\n/etc/passwd\n"}
    page.set_input_files("input[data-role=clip]", [playlist])
    page.wait_for_function("document.querySelector('#message-pictures').textContent")
    assert "clip.mp4 is not a video of an allowed format" in page.inner_text("#message-pictures")
    keep(page, "video_wrong_file")
    large = {"name": "long.mp4", "mimeType": "video/mp4", "buffer": bytes(1_500_000)}
    page.set_input_files("input[data-role=clip]", [large])
    page.wait_for_selector("#message-pictures >> text=long.mp4 has 1.5 MB; the studio allows 1 MB")
    open_video(page, 70)
    page.wait_for_function(
        "/70 frames are more than the 60/.test("
        "document.querySelector('#shown-estimate-video').innerText)"
    )
    page.fill("#video-end input", "2")
    page.keyboard.press("Tab")
    page.wait_for_function(
        "/24 frames of/.test(document.querySelector('#shown-estimate-video').innerText)"
    )


def test_a_clip_on_a_narrow_screen_and_one_that_is_dropped_on_the_photo(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    page.evaluate(SEND.replace("image/png", "video/mp4").replace("}.png", "}.mp4"), [
        ".picker[data-role=content]", "drop", "content", [*clip_bytes(4)]
    ])  # fmt: skip
    page.wait_for_selector(".picker[data-role=clip] .name:visible >> text=drop.mp4")
    give(page, "styles", file("painting.png", 2))
    for name, value in (("long_side", 48), ("steps", 3), ("frame_steps", 2)):
        fill(page, name, value, "video")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#start-video")
    wait_state(page, "done")
    page.wait_for_selector(".film:visible")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "video_phone", full_page=True)


def test_narrow_screens_and_the_keyboard(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    give_both(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    begin(page, size=40, steps=3)
    wait_state(page, "done")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "phone", full_page=True)
    page.click(".picker[data-role=content] .tile .mask")
    page.wait_for_selector("#masks[open]")
    keep(page, "phone_mask")
    page.keyboard.press("Escape")
    page.wait_for_selector("#masks", state="hidden")
    page.focus("#start-stylize")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.strip button').length == 2")


def test_everything_that_can_be_used_has_a_name(visit):
    page = visit()
    give_both(page)
    page.get_by_text("More settings").first.click()
    page.wait_for_selector("#stylize-optimizer:visible")
    nameless = page.evaluate("""() => [...document.querySelectorAll(
        "button, input, select, textarea, img, a[href]")].filter((each) => {
      if (!each.checkVisibility()) return false;
      const labels = [...(each.labels ?? [])].map((label) => label.textContent).join("");
      const name = each.getAttribute("aria-label") || labels || each.textContent || each.title;
      return each.tagName === "IMG" ? !each.hasAttribute("alt") : !name.trim();
    }).map((each) => each.outerHTML.slice(0, 120))""")
    assert nameless == []
