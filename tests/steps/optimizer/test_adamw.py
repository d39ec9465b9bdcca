"""Where states lie, how they are cut, stopping and going on: none of it changes a bit."""

from __future__ import annotations

import io

import pytest
import torch
from steps.optimizer.small import Settings

from llavakit.steps.optimizer import MixedPrecisionAdamW, buckets, places

SETTINGS = Settings(weight_decay=0.1)
KIB = 1 / (1 << 20)
"""In GiB."""
WAYS = {
    "one-bucket": {"states": "host"},
    "one-parameter-each": {"states": "host", "bucket_elements": 1},
    "a-few": {"states": "host", "bucket_elements": 6000},
    "some-resident": {"states": "host", "bucket_elements": 6000, "resident_gib": 100 * KIB},
    "all-resident": {"states": "host", "bucket_elements": 6000, "resident_gib": 1.0},
    "on-the-device": {"states": "gpu", "bucket_elements": 6000},
}


@pytest.fixture(scope="module")
def plain(train):
    """By device: states on it, in one bucket."""
    done = {}

    def get(device):
        if device not in done:
            done[device] = train(Settings(weight_decay=0.1, device=device)).run()
        return done[device]

    return get


@pytest.mark.parametrize("way", WAYS)
def test_places_and_buckets_change_nothing(way, device, plain, train, same):
    settings = Settings(weight_decay=0.1, device=device)
    same(train(settings, **WAYS[way]).run(), plain(device))


def test_small_slabs_change_nothing(device, plain, train, same, monkeypatch):
    monkeypatch.setattr(places, "SLAB", 1 << 15)
    settings = Settings(weight_decay=0.1, device=device)
    same(train(settings, states="host", bucket_elements=6000).run(), plain(device))


def test_states_lie_where_they_are_wanted(device, train):
    settings = Settings(device=device)
    some = train(settings, **WAYS["some-resident"]).optimizer
    places_ = [bucket["exp_avg"].device.type for bucket in some.state_dict()["buckets"]]
    resident = [bucket.resident for bucket in some._buckets]
    assert resident == sorted(resident, reverse=True)
    assert 0 < sum(resident) < len(resident)
    assert places_ == [device if stays else "cpu" for stays in resident]
    homes = [bucket.home["master"] for bucket in some._buckets if not bucket.resident]
    assert all(home.is_pinned() == (device == "cuda") for home in homes)


def test_gradients_are_gone_after_a_step_and_masters_round_to_the_parameters(device, train):
    ours = train(Settings(device=device), states="host", bucket_elements=6000).run(0, 3)
    masters = ours.optimizer.masters()
    assert all(param.grad is None for param in ours.params)
    for param in ours.params:
        assert torch.equal(masters[id(param)].to(param), param)
    rounded = ours.flat("master").bfloat16().float()
    assert not torch.equal(rounded, ours.flat("master"))


def test_a_step_keeps_no_memory_on_the_gpu(train):
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    ours = train(Settings(device="cuda"), states="host", bucket_elements=6000).run(0, 2)
    assert _allocated(ours) == _allocated(ours.run(2, 4))


def _allocated(kit):
    """Bytes on the GPU, without what the test itself keeps."""
    del kit.losses[:], kit.norms[:]
    return torch.cuda.memory_allocated()


def saved(kit):
    """A checkpoint's content, through a file."""
    file = io.BytesIO()
    masters = kit.optimizer.masters()
    content = {
        "optimizer": kit.optimizer.state_dict(),
        "masters": [places.of_its_own(masters[id(param)].cpu()) for param in kit.params],
    }
    torch.save(content, file)
    assert file.tell() < 4 * 3 * sum(param.numel() for param in kit.params) * 1.2
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


@pytest.mark.parametrize("moments", ["float32", "int8"])
@pytest.mark.parametrize("first", ["a-few", "on-the-device"])
@pytest.mark.parametrize("second", ["some-resident", "on-the-device"])
def test_a_run_goes_on_to_the_bit(moments, first, second, device, train, same):
    settings = Settings(weight_decay=0.1, device=device)
    whole = train(settings, moments=moments, **WAYS[first]).run()
    begun = train(settings, moments=moments, **WAYS[first]).run(0, 11)
    resumed = train(settings, moments=moments, **WAYS[second])
    go_on(resumed, saved(begun))
    same(resumed.run(11), whole)


def go_on(kit, content):
    kit.optimizer.load_state_dict(content["optimizer"])
    pairs = zip(kit.params, content["masters"], strict=True)
    kit.optimizer.load_masters({id(param): value for param, value in pairs})


def test_loading_fills_the_memory_that_is_there(device, train):
    kit = train(Settings(device=device), **WAYS["a-few"]).run(0, 2)
    before = [
        value.data_ptr() for bucket in kit.optimizer._buckets for value in bucket.home.values()
    ]
    go_on(kit, saved(kit))
    after = [
        value.data_ptr() for bucket in kit.optimizer._buckets for value in bucket.home.values()
    ]
    assert before == after


def test_the_schedulers_values_are_kept(train):
    kit = train(SETTINGS)
    kit.optimizer.param_groups[0].update(lr=0.125, initial_lr=0.5)
    other = train(SETTINGS)
    other.optimizer.load_state_dict(saved(kit)["optimizer"])
    (group,) = other.optimizer.param_groups
    assert (group["lr"], group["initial_lr"]) == (0.125, 0.5)
    assert group["params"] == other.params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket_elements": 6000}, "other parameters or buckets"),
        ({"moments": "int8"}, "the saved moments are int8, these are float32"),
    ],
)
def test_another_layout_is_refused(change, message, train):
    state = train(SETTINGS, **change).run(0, 2).optimizer.state_dict()
    other = train(SETTINGS).run(0, 1)
    before = other.flat("exp_avg")
    with pytest.raises(ValueError, match=message):
        other.optimizer.load_state_dict(state)
    assert torch.equal(other.flat("exp_avg"), before)


def test_damaged_tensors_are_refused(train):
    state = train(SETTINGS).optimizer.state_dict()
    state["buckets"][0]["exp_avg"] = state["buckets"][0]["exp_avg"][:-1]
    with pytest.raises(ValueError, match="exp_avg of a bucket has another shape"):
        train(SETTINGS).optimizer.load_state_dict(state)


def test_a_missing_weight_is_refused(train):
    kit = train(SETTINGS)
    weights = kit.optimizer.masters()
    del weights[id(kit.params[0])]
    with pytest.raises(ValueError, match=f"1 of {len(kit.params)} weights"):
        kit.optimizer.load_masters(weights)


@pytest.mark.parametrize(
    ("params", "options", "message"),
    [
        ([], {}, "no parameter"),
        ([torch.zeros(2), torch.zeros(2).bfloat16()], {}, "one device and format"),
        ([torch.zeros(2).half()], {}, "bf16 or fp32"),
        ([torch.zeros(0)], {}, "empty"),
        ([torch.zeros(2)], {"states": "disk"}, "the gpu or the host"),
        ([torch.zeros(2)], {"moments": "int4"}, "float32 or int8"),
    ],
)
def test_what_does_not_fit_is_refused(params, options, message):
    with pytest.raises(ValueError, match=message):
        MixedPrecisionAdamW([torch.nn.Parameter(param) for param in params], lr=1.0, **options)


def test_parameters_of_any_layout_are_trained():
    """A transposed one, whose gradient torch lays out the same way."""
    weight = torch.nn.Parameter(torch.randn(3, 5).t())
    plain = torch.nn.Parameter(weight.detach().contiguous().clone())
    for param in (weight, plain):
        optimizer = MixedPrecisionAdamW([param], lr=0.1)
        for _ in range(3):
            (param * torch.arange(15.0).view(5, 3)).sin().sum().backward()
            optimizer.step()
    assert not weight.is_contiguous()
    assert torch.equal(weight, plain)


def test_buckets_keep_the_order_and_cut_no_parameter():
    params = [torch.nn.Parameter(torch.zeros(count)) for count in (3, 3, 9, 1, 1, 4)]
    filled = buckets.fill(params, 6)
    assert [bucket.sizes for bucket in filled] == [[3, 3], [9], [1, 1, 4]]
    assert [param for bucket in filled for param in bucket.params] == params


def test_slabs_are_powers_of_two_and_little_is_wasted():
    gib, mib = 1 << 30, 1 << 20
    assert places.slab_size(60 * mib, 5 * gib) == gib
    assert places.slab_size(60 * mib, gib - 1) == gib // 2
    assert places.slab_size(60 * mib, 70 * mib) == 64 * mib
    assert places.slab_size(3 * gib, 3 * gib) == 4 * gib
    assert places.slab_size(512, 512) == 512


def test_tensors_of_an_arena_do_not_overlap(monkeypatch):
    monkeypatch.setattr(places, "SLAB", 4096)
    fields = {"a": (torch.float32, 300), "b": (torch.uint8, 700), "c": (torch.float32, 3)}
    arena = places.HostArena(5 * places.size(fields), pinned=False)
    taken = [tensor for _ in range(5) for tensor in arena.take(fields).values()]
    for number, tensor in enumerate(taken):
        assert not tensor.any()
        tensor.fill_(number + 1)
    assert all((tensor == number + 1).all() for number, tensor in enumerate(taken))
    assert {slab.numel() for slab, _ in arena._slabs} <= {4096, 2048, 1024, 512}
