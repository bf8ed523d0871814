"""Factories that end the process, return nothing or hang are one sentence each."""

import _thread
import contextvars
import importlib
import signal
import sys
import threading

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from core import UserError
from core.models import factory as factories
from core.models import segmenter_from_factory

SOURCE = """
import contextvars
import functools
import sys
import threading

import torch
from torch import nn

from core import Segmenter

release = threading.Event()
seen = {}
variable = contextvars.ContextVar("variable", default="as made")

def ends():
    sys.exit()

def ends_with_words():
    sys.exit("no weights\\nat all.")

class Odd(BaseException):
    pass

def raises_odd():
    raise Odd("odd")

def interrupted():
    raise KeyboardInterrupt

def nothing():
    nn.Conv2d(3, 2, 1)

def waits():
    release.wait()

def chained():
    try:
        {}["weights"]
    except KeyError as error:
        raise ValueError("no weights") from error

def seeded():
    seen["gradients"] = torch.is_grad_enabled()
    seen["inference"] = torch.is_inference_mode_enabled()
    seen["device"] = torch.empty(1).device.type
    seen["variable"] = variable.get()
    return nn.Conv2d(3, 2, 3)

class Network(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 2, 3)

class Maker:
    def __call__(self):
        return Network()

maker = Maker()
method = Maker().__call__
partial = functools.partial(nn.Conv2d, 3, 2, 3)
cached = functools.cache(seeded)
compiled_partial = functools.partial(sys.exit, 0)
anonymous = lambda: Network()
"""


@pytest.fixture
def package(write_package):
    slow = "import sys\nsys.modules['failing_release'].wait()"
    write_package("failing_networks", vessels=SOURCE, script="import sys\nsys.exit(0)", slow=slow)
    yield
    vessels = sys.modules.get("failing_networks.vessels")
    if vessels is not None:
        vessels.release.set()


def _refused(factory: str) -> str:
    with pytest.raises(UserError) as error:
        segmenter_from_factory(factory, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("failing_networks.vessels:ends", "ended the process (SystemExit: no reason given)"),
        ("failing_networks.vessels:ends_with_words", "ended the process (SystemExit: no weights at all)"),
        ("failing_networks.script:network", "ended the process (SystemExit: 0)"),
        ("failing_networks.vessels:raises_odd", "failed with Odd: odd"),
        ("failing_networks.vessels:nothing", "returned nothing; return the network from it."),
        ("failing_networks.vessels:compiled_partial", "is not written in Python but compiled"),
    ],
)
def test_the_end_of_the_process_and_nothing_are_one_sentence(factory, message):
    sentence = _refused(factory)
    assert sentence.startswith(factory)
    assert message in sentence


@pytest.mark.parametrize("factory", ["sys:exit", "time:sleep", "builtins:input", "builtins:dict", "_thread:get_ident"])
def test_what_is_compiled_makes_no_network(factory):
    assert _refused(factory).startswith(f"{factory} is not written in Python but compiled")


def test_what_would_kill_this_process_is_never_called():
    """`os._exit` and `os.abort` cannot be caught once they run, so this test would not come back."""
    for factory in ("os:_exit", "os:abort", "posix:_exit"):
        assert "is not written in Python" in _refused(factory)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["seeded", "Network", "maker", "method", "partial", "cached", "anonymous"])
def test_whatever_is_written_in_python_is_called(name):
    assert isinstance(segmenter_from_factory(f"failing_networks.vessels:{name}", "cpu").module, nn.Conv2d)


@pytest.mark.usefixtures("package")
def test_a_factory_that_hangs_is_one_sentence(monkeypatch):
    monkeypatch.setenv("WHYPIXEL_FACTORY_SECONDS", "0.3")
    sentence = _refused("failing_networks.vessels:waits")
    assert sentence.startswith("failing_networks.vessels:waits was not finished after 0.3 seconds")
    assert "WHYPIXEL_FACTORY_SECONDS" in sentence


@pytest.mark.usefixtures("package")
def test_a_module_that_hangs_while_it_is_imported_is_one_sentence(monkeypatch):
    release = threading.Event()
    monkeypatch.setitem(sys.modules, "failing_release", release)
    monkeypatch.setattr(factories, "TIME_LIMIT", 0.3)
    assert "was not finished after 0.3 seconds" in _refused("failing_networks.slow:network")
    release.set()


@pytest.mark.parametrize("text", ["soon", "0", "-3", "nan", "inf"])
def test_a_limit_that_is_none(monkeypatch, text):
    monkeypatch.setenv("WHYPIXEL_FACTORY_SECONDS", text)
    assert _refused("any_module:network").startswith(f'WHYPIXEL_FACTORY_SECONDS is "{text}"')


@pytest.mark.usefixtures("package")
def test_an_interruption_is_not_turned_into_an_error():
    with pytest.raises(KeyboardInterrupt):
        segmenter_from_factory("failing_networks.vessels:interrupted", "cpu")


@pytest.mark.usefixtures("package")
def test_ctrl_c_is_heard_while_a_factory_hangs(monkeypatch):
    """A real interrupt, sent once the function runs; the limit itself is far away."""
    vessels = importlib.import_module("failing_networks.vessels")

    class Reached(threading.Event):
        def wait(self, timeout=None):
            _thread.interrupt_main()
            return super().wait(timeout)

    monkeypatch.setattr(vessels, "release", Reached())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores interrupts
    try:
        with pytest.raises(KeyboardInterrupt):
            segmenter_from_factory("failing_networks.vessels:waits", "cpu")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("package")
def test_the_cause_of_an_error_is_kept():
    with pytest.raises(UserError, match="failed with ValueError: no weights") as error:
        segmenter_from_factory("failing_networks.vessels:chained", "cpu")
    assert type(error.value.__cause__) is ValueError
    assert type(error.value.__cause__.__cause__) is KeyError


@pytest.mark.usefixtures("package")
def test_the_network_is_the_one_that_the_caller_would_have_made():
    torch.manual_seed(0)
    expected = nn.Conv2d(3, 2, 3).weight.detach().clone()
    torch.manual_seed(0)
    assert torch.equal(segmenter_from_factory("failing_networks.vessels:seeded", "cpu").module.weight, expected)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        double = segmenter_from_factory("failing_networks.vessels:seeded", "cpu").module.weight
    finally:
        torch.set_default_dtype(torch.float32)
    assert double.dtype == torch.float64


@pytest.mark.usefixtures("package")
def test_what_belongs_to_the_callers_thread_is_seen():
    vessels = importlib.import_module("failing_networks.vessels")

    factory = "failing_networks.vessels:seeded"
    segmenter_from_factory(factory, "cpu")
    assert vessels.seen == {"gradients": True, "inference": False, "device": "cpu", "variable": "as made"}
    context = contextvars.copy_context()
    context.run(vessels.variable.set, "as set")
    with torch.no_grad():
        context.run(segmenter_from_factory, factory, "cpu")
    assert (vessels.seen["gradients"], vessels.seen["variable"]) == (False, "as set")
    with torch.inference_mode(), torch.device("meta"), pytest.raises(NotImplementedError):
        segmenter_from_factory(factory, "cpu")  # a network without memory cannot be put on a device
    assert (vessels.seen["inference"], vessels.seen["device"]) == (True, "meta")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "factory",
    ["sys:exit", "failing_networks.vessels:ends", "failing_networks.script:a", "failing_networks.vessels:nothing"],
)
def test_on_the_command_line_it_is_one_sentence_and_code_2(shell, factory):
    code, output, error = shell("info", "--weights", factory)
    assert (code, output) == (2, "")
    assert error.startswith(f"Error: {factory} ")
    assert error.count("\n") == 1


def _page():
    import streamlit as st

    from widgets.shared.model_picker import pick_model
    from widgets.shared.user_errors import show_user_errors

    with show_user_errors():
        st.write(pick_model().name)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("factory", ["sys:exit", "failing_networks.vessels:ends", "failing_networks.vessels:waits"])
def test_in_the_app_it_is_an_error_on_the_page(monkeypatch, factory):
    monkeypatch.setenv("WHYPIXEL_FACTORY_SECONDS", "2")
    monkeypatch.setattr(sys, "argv", ["app.py", "--model", factory])
    page = AppTest.from_function(_page, default_timeout=120).run()
    assert not page.exception
    assert page.error[0].value.startswith(factory)
    assert not page.markdown
