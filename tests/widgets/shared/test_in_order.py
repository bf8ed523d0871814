from streamlit.testing.v1 import AppTest


def test_other_data_have_a_larger_number_and_the_same_data_keep_theirs():
    def script() -> None:
        import streamlit as st

        from widgets.shared.in_order import in_order

        st.session_state["orders"] = [
            in_order("one", {"row": 1})["order"], in_order("one", {"row": 1})["order"],
            in_order("two", {"row": 1})["order"], in_order("one", {"row": 2})["order"],
            in_order("one", {"row": 1})["order"],
        ]  # fmt: skip

    page = AppTest.from_function(script).run()
    first, same, _, second, again = page.session_state["orders"]
    assert first == same < second < again
    page.run()
    assert page.session_state["orders"][0] == again, "a run that shows the same"
    later = AppTest.from_function(script).run()
    assert later.session_state["orders"][0] > first
