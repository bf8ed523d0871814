from widgets.cams.views import short_names


def test_names_of_layers_lose_what_their_group_shares_and_stay_different():
    names = ["bn1", "encoder.features.1", "encoder.features.13", "decoder.blocks.x_0_0.conv", "decoder.blocks.x_0_1.bn"]
    names += ["head.0.1", "stem"]
    shown = [name.replace("\u200b", "") for name in short_names(names)]
    assert shown == ["bn1", "encoder…1", "encoder…13", "decoder…x_0_0.conv", "decoder…x_0_1.bn", "head…1", "stem"]
    nested = ["a", "a.b", "a.b.c", "a.b.d"]
    assert [name.replace("\u200b", "") for name in short_names(nested)] == nested
