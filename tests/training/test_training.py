"""The recipe: what its tokens, windows and figures are, and the whole chain rehearsed on a few recordings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bark_core.model.transformer import CausalGPT
from bark_core.stages.semantic import semantic_prompt
from bark_core.text.wordpiece import TextEncoder
from training import coarse, codec, corpus, drawn, ear, evaluate, export, fine, lexicon, loop, resume, semantic, speech, tokens
from training.card import write_card
from training.demo import make_config, make_tokenizer
from training.everyday import make_sentence
from training.listen import count_errors, word_error_rate, words_of
from training.measures import largest_step, leading_silence_s, mel_distance
from training.phones import PHONES, parse_durations
from training.phonetokens import REMAINING, Range, split_tokens, tokenise
from training.quantise import Quantiser
from training.recordings import Recording
from training.tables import fold_tables, text_factors
from training.voices import SpokenSamples, as_history
from training.workspace import VOICES, Workspace

VOICE = Range(4.6, 0.1)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A rehearsal's folder with corpus, recordings and tokens."""
    space = Workspace(tmp_path_factory.mktemp("training"), smoke=True)
    corpus.write_corpus(space)
    lexicon.write_lexicon(space)
    speech.speak_corpus(space, 1)
    tokens.encode_shards(space)
    return space


def test_phones_are_read_with_their_ends() -> None:
    phones, ends = parse_durations("pau:0.174 g:0.273 uh:0.390 \n")
    assert [PHONES[i] for i in phones] == ["pau", "g", "uh"]
    assert ends.tolist() == pytest.approx([0.174, 0.273, 0.390])


@pytest.mark.parametrize("text", ["", "pau:0.1 qq:0.2"])
def test_what_is_no_phone_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="phones"):
        parse_durations(text)


def test_tokens_count_down_to_each_phones_end() -> None:
    phones, ends = parse_durations("pau:0.1 ow:0.5 t:0.501 s:0.502 pau:0.6")
    pitch = np.array([np.nan, 4.9, np.nan, np.nan, np.nan], np.float32)
    made = tokenise(phones, ends, pitch, VOICE, 49.9)
    spoken, heights, remaining = split_tokens(made)
    assert len(made) == round(0.6 * 49.9)
    assert [PHONES[i] for i in spoken[np.insert(np.diff(spoken) != 0, 0, True)]] == ["pau", "ow", "t", "s", "pau"]
    assert set(heights[spoken == PHONES.index("ow")]) == {4}
    for phone in ("pau", "ow"):
        countdown = remaining[: len(made) // 2 + 10][spoken[: len(made) // 2 + 10] == PHONES.index(phone)]
        assert countdown[-1] == 0 or phone == "ow"
        assert (np.diff(np.minimum(countdown, REMAINING - 1)) <= 0).all()


def test_letters_are_the_tokens_and_any_everyday_text_has_ids() -> None:
    config = make_config()
    encoder = TextEncoder(make_tokenizer(), config.max_text_tokens)
    assert make_tokenizer().encode("Café").tokens == ["c", "##a", "##f", "##e"]
    unknown = make_tokenizer().token_to_id("[UNK]")
    for text in [*corpus.read_heldout(), "“It’s 5:30 – or so…”"]:
        assert unknown not in encoder.encode(text)
    assert max(make_tokenizer().get_vocab().values()) + config.text_encoding_offset < config.text_pad_token


def test_no_held_out_sentence_can_be_made_by_chance_and_none_is_repeated() -> None:
    import random

    held = [corpus.normalise(text) for text in [*corpus.read_heldout(), *corpus.read_wide(), *corpus.read_tuning()]]
    assert len(set(held)) == len(held) >= 320
    rng = random.Random(1)
    assert not set(held) & {corpus.normalise(make_sentence(rng)) for _ in range(2_000)}


def test_words_are_compared_fairly() -> None:
    paid = ["he", "can't", "pay", "one", "thousand", "two", "hundred", "dollars", "for", "the", "seventh"]
    assert words_of("He can't pay $1,200 for the 7th!") == paid
    assert words_of("in 1984 & 2006") == words_of("in nineteen eighty four and two thousand six")
    assert words_of("the 21st, the 12th: $5") == words_of("the twenty-first, the twelfth: five dollars")
    assert count_errors(["a", "b", "c"], ["a", "c", "d"]) == 2
    assert word_error_rate([("One two.", "one, two"), ("three", "tree")]) == pytest.approx(1 / 3)


def test_measures_say_what_they_measure() -> None:
    tone = np.sin(np.arange(24_000) * 2 * np.pi * 200 / 24_000).astype(np.float32)
    late = np.concatenate([np.zeros(12_000, np.float32), tone])
    assert leading_silence_s(late) == pytest.approx(0.5, abs=0.01)
    assert mel_distance(tone, tone) == 0
    assert mel_distance(tone, tone / 2) > 0.5
    chirp = np.sin(np.cumsum(np.linspace(0.05, 0.3, 24_000))).astype(np.float32)
    assert mel_distance(chirp, np.roll(chirp, 640)) > 2 * mel_distance(chirp, np.roll(chirp, 640), aligned=True) > 0
    assert largest_step(np.array([0.0, 0.5, -0.5])) == 1


def test_each_codebook_leaves_less() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(500, 16, generator=generator)
    quantiser = Quantiser.train(frames, 3, 5, 16, 5, generator)
    codes = quantiser.encode(frames)
    left = [float((quantiser.decode(codes[: k + 1]) - frames).square().mean()) for k in range(3)]
    assert left[0] > left[1] > left[2]
    assert not codes[3:].any()


def test_the_semantic_batch_is_the_prompt_that_speaking_feeds(workspace: Workspace) -> None:
    config = make_config(smoke=True)
    torch.manual_seed(0)
    reader = semantic.Reader(config).eval()
    model = reader.gpt
    line = semantic.Lines(workspace, config).held[0]
    history = np.arange(20)
    with torch.no_grad():
        loss, _ = semantic.batch_losses(reader, config, [line], [history], config.max_text_tokens)
        text, past = semantic_prompt(config, line.ids, history)
        infer = torch.tensor([config.semantic_infer_token])
        spoken = torch.from_numpy(line.semantic)
        x = torch.cat([model.embed(text) + model.embed(past), model.embed(infer), model.embed(spoken)])
        logits = model.lm_head(model(x[None])[0, config.max_text_tokens :])
        targets = torch.cat([spoken, torch.tensor([config.semantic_pad_token])])
        expected = torch.nn.functional.cross_entropy(logits, targets)
    assert float(loss) == pytest.approx(float(expected), rel=1e-4)


def test_coarse_windows_are_those_of_speaking(workspace: Workspace) -> None:
    config = make_config(smoke=True)
    spoken = SpokenSamples(workspace)
    sample, history = spoken.samples["rms"][0], as_history([spoken.samples["rms"][1]])
    for window in range(coarse.count_windows(config, sample)):
        ids, begin = coarse.make_window(config, sample, history, window)
        assert ids[begin - 1] == config.coarse_infer_token
        coming = min(config.sliding_window, sample.codes.shape[1] * 2 - window * config.sliding_window)
        flat = (sample.codes[:2] + config.semantic_vocab_size + np.array([[0], [1024]])).T.reshape(-1)
        first = window * config.sliding_window
        assert ids[-coming:].tolist() == flat[first : first + coming].tolist()


def test_folding_changes_no_answer() -> None:
    config = make_config(smoke=True)
    torch.manual_seed(0)
    model = semantic.Reader(config).gpt.eval()
    with torch.no_grad():
        before = model.lm_head(model(model.embed(torch.arange(9)[None])))
        fold_tables(model)
        plain = CausalGPT(config.semantic).eval()
        plain.load_state_dict(model.state_dict())
        after = plain.lm_head(plain(plain.embed(torch.arange(9)[None])))
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    space = Workspace(workspace.folder, smoke=True)
    fine.train_fine(space, 5)
    fine.train_fine(space, 10)
    assert "step 5/10" not in capsys.readouterr().out
    assert (space.folder / "curves" / "fine.png").exists()


@pytest.mark.slow
def test_the_whole_chain_makes_a_checkpoint_that_speaks(workspace: Workspace, tmp_path: Path) -> None:
    from bark_core import Bark

    codec.train_codec(workspace, 2)
    semantic.train_semantic(workspace, 2)
    coarse.train_coarse(workspace, 2)
    fine.train_fine(workspace, 2)
    with pytest.raises(SystemExit, match=r"python -m training\.drawn"):
        codec.train_codec(workspace, 4, drawn=True)
    assert drawn.draw_shards(workspace) == len(VOICES) and drawn.draw_shards(workspace) == 0
    with pytest.raises(SystemExit, match=r"python -m training\.ear"):
        codec.train_codec(workspace, 4, drawn=True)
    ear.train_ear(workspace, 2)
    codec.train_codec(workspace, 4, drawn=True)
    export.export(workspace, tmp_path / "demo")
    bark = Bark.load(tmp_path / "demo", device="cpu")
    assert list(bark.voices) == [f"demo_speaker_{i}" for i in range(len(VOICES))]
    made = bark.generate("Good morning.", voice="demo_speaker_1", seed=0, max_seconds=1.0)
    assert len(made.audio) > 0 and np.isfinite(made.audio).all()
    figures = evaluate.run(workspace, tmp_path / "demo", 1)
    write_card(tmp_path / "card.md", figures)
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert "1 everyday sentences" in card and "1 sentences in another manner" in card and "<!-- figures -->" not in card
    rates = [voice["word_error_rate"] for one in figures["sets"].values() for voice in one["voices"].values()]
    assert rates == [1] * 6  # nobody listens in a rehearsal
    again = Workspace(tmp_path / "again", smoke=True)
    shutil.copytree(workspace.folder / "speech", again.folder / "speech")
    lexicon.write_lexicon(again)
    resume.resume(again, tmp_path / "demo")
    tokens.encode_shards(again)
    export.export(again, tmp_path / "taken up")
    for name in ("semantic", "coarse", "fine", "codec"):
        one, other = (load_file(tmp_path / folder / f"{name}.safetensors") for folder in ("demo", "taken up"))
        assert one.keys() == other.keys()
        assert all(torch.allclose(one[key], other[key], atol=1e-3, rtol=2e-3) for key in one), name
    semantic.train_semantic(again, loop.USUAL_STEPS["semantic"] + 1)


def test_characters_have_the_same_shared_rows_in_every_run() -> None:
    character = text_factors(make_config(smoke=True))[0]
    rows = character[character >= 0]
    _, first = np.unique(rows, return_index=True)
    assert (np.diff(first) > 0).all() and len(first) > 30, "numbered as they come, by the tokenizer's own numbers"


def test_the_ear_is_given_the_phone_at_each_frames_middle() -> None:
    recording = Recording("x", "rms", np.array([9, 4, 7], np.uint8), np.array([0.1, 0.5, 0.6], np.float32), np.zeros(3), np.zeros(9600, np.int16))
    labels = ear.label_frames(recording, 0, 60)
    assert [int((labels == phone).sum()) for phone in (9, 4)] == [9, 37], "their middles lie 10.7 ms apart"
    assert (ear.label_frames(recording, 2400, 10) == 4).all()
    assert labels[-1] == 7, "what comes after the last phone is taken for it"


def test_the_ear_hears_a_difference_and_says_which_way_it_goes() -> None:
    torch.manual_seed(0)
    hearing = ear.Ear().eval().requires_grad_(False)
    real = 0.1 * torch.randn(2, 9600)
    assert float(ear.hear_difference(hearing, real, real)) == pytest.approx(0, abs=1e-6)
    made = (0.03 * torch.randn(2, 9600)).requires_grad_()
    before = ear.hear_difference(hearing, made, real)
    (slope,) = torch.autograd.grad(before, made)
    after = ear.hear_difference(hearing, made - 1e-3 * slope / slope.norm(), real)
    assert 0 < after.item() < before.item()


def test_the_ears_pull_is_as_strong_as_it_is_meant_to_be() -> None:
    torch.manual_seed(0)
    hearing, loss = ear.Ear().eval().requires_grad_(False), codec.SpectralLoss()
    real, made = 0.1 * torch.randn(2, 9600), (0.1 * torch.randn(2, 9600)).requires_grad_()
    (plain,) = torch.autograd.grad(loss(made, real), made)
    balanced = codec.balance(loss, hearing, made, real)
    (both,) = torch.autograd.grad(balanced, made)
    assert balanced.item() == pytest.approx(loss(made, real).item(), rel=1e-5)
    assert float((both - plain).norm() / plain.norm()) == pytest.approx(codec.EAR_SHARE, rel=1e-3)


def test_new_codes_begin_as_the_old_ones_that_sound_like_them() -> None:
    config = make_config(smoke=True)
    generator = torch.Generator().manual_seed(0)
    size, first = config.codebook_size, config.semantic_vocab_size
    old = torch.randn(8, size, 4, generator=generator)
    old[4:] = 0  # as those that hold nothing
    order = torch.randperm(size, generator=generator)
    states = {
        "coarse": {name: torch.randn(first + 2 * size, 3, generator=generator) for name in ("wte.weight", "lm_head.weight")},
        "fine": {f"wtes.{k}.weight": torch.randn(size + 1, 3, generator=generator) for k in range(8)},
    }
    before = {part: {name: table.clone() for name, table in tables.items()} for part, tables in states.items()}
    resume.carry_over(states, config, old, old[:, order])
    for k in range(8):
        table, was = states["fine"][f"wtes.{k}.weight"], before["fine"][f"wtes.{k}.weight"]
        assert torch.equal(table[:size], was[:size][order] if k < 4 else was[:size]) and torch.equal(table[size:], was[size:])
    for name, table in states["coarse"].items():
        was = before["coarse"][name]
        assert torch.equal(table[:first], was[:first])
        assert torch.equal(table[first:], torch.cat([was[first + k * size : first + (k + 1) * size][order] for k in range(2)]))


@pytest.mark.slow
def test_a_step_that_comes_too_early_names_the_one_before(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.tokens", "--smoke", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2], check=False)
    assert done.returncode != 0
    assert "python -m training.speech --smoke" in done.stderr
