"""Each ingredient of reproducibility: what its lack mostly comes of, and how it is put right, in a line of code."""

from __future__ import annotations

from typing import Final, NamedTuple

from saksi.judgement.doctor.values import Code, Ingredient, Phase, Seen

__all__ = ["INGREDIENTS", "Advice", "ingredient"]


class Advice(NamedTuple):
    """What a lack usually comes of, the remedy in one line, and an example of it."""

    usually: str
    remedy: str
    example: str


_PUT_BACK: Final = 'torch.set_rng_state(ckpt["rng"])'

INGREDIENTS: Final[dict[Code, Advice]] = {
    "unseeded_generator": Advice(
        "a generator that nobody seeds starts anywhere",
        "seed every generator that is used, before anything is drawn",
        "torch.manual_seed(0); random.seed(0); numpy.random.seed(0)",
    ),
    "seed_varies": Advice(
        "the seed is made of the time, the process id or the system's generator",
        "take the seed from the configuration, and keep it with the model checkpoint",
        "torch.manual_seed(args.seed)",
    ),
    "initial_state": Advice(
        "weights are drawn before the seed is set, or by a generator of their own",
        "seed before the model is built",
        "torch.manual_seed(0); model = Model()",
    ),
    "weights": Advice(
        "the weights were not loaded, not all of them (strict=False), or changed after loading",
        "load the whole state of the model, strictly, and change nothing afterwards",
        'model.load_state_dict(ckpt["model"], strict=True)',
    ),
    "rounded_weights": Advice(
        "the weights were stored in half precision, and what was cut off is lost",
        "save the weights that the optimizer updates, in the precision it updates them in",
        'torch.save({"model": model.state_dict()}, path)  # without .half() or .bfloat16()',
    ),
    "optimizer_state": Advice(
        "the optimizer's state is not saved or not loaded: moments begin at zero again",
        "save and load it beside the weights",
        'optimizer.load_state_dict(ckpt["optimizer"])',
    ),
    "update_counters": Advice(
        "the optimizer's step counters begin at zero: bias correction is done anew",
        "load the optimizer's state as a whole",
        'optimizer.load_state_dict(ckpt["optimizer"])',
    ),
    "buffers": Advice(
        "buffers (running statistics of batch norm) are not in what is saved, or not loaded",
        "save and load state_dict(), which has them, not parameters() alone",
        'model.load_state_dict(ckpt["model"])',
    ),
    "schedule": Advice(
        "the schedule's position was not restored: it starts again, or is computed from a counter that does",
        "save and load the scheduler, or the step that the learning rate is computed from",
        'scheduler.load_state_dict(ckpt["scheduler"]); start = ckpt["step"]',
    ),
    "hyper_parameters": Advice(
        "hyper-parameters come from the command line or a default, not from what is loaded",
        "load the optimizer's state after the groups are set, or set them as they were",
        'optimizer.load_state_dict(ckpt["optimizer"])',
    ),
    "generator": Advice(
        "the generator's state is not saved or not loaded: dropout and sampling go on from elsewhere",
        "save the state of every generator that is used, and load it last",
        _PUT_BACK,
    ),
    "generator_order": Advice(
        "the state was put back too early: what is built afterwards (a DataLoader's iterator draws a base seed) draws",
        "put generators back last, after the model, the optimizer and every DataLoader iterator are made",
        f"batches = iter(loader); {_PUT_BACK}",
    ),
    "loader_generator": Advice(
        "the DataLoader's own generator was not put back, so that it shuffles otherwise",
        "save its state as the epoch begins, and load it before the loader is iterated",
        'loader.generator.set_state(ckpt["epoch_began"])',
    ),
    "data_position": Advice(
        "the position in the data was not restored: an epoch begins again, or is shuffled anew",
        "save how many batches of which epoch were used, draw the same order again, and skip those",
        'for number, batch in enumerate(loader): if number < ckpt["taken"]: continue',
    ),
    "sample_order": Advice(
        "the order comes from an unseeded generator, of a set or a dict of hashes, or as the file system lists files",
        "sort what is listed, and give the DataLoader a seeded generator",
        "DataLoader(data, shuffle=True, generator=torch.Generator().manual_seed(0))",
    ),
    "worker_rng": Advice(
        "what workers draw (augmentation) comes from generators that are seeded anew each time workers are started",
        "draw what belongs to a sample from a generator seeded by its index and epoch",
        "generator = torch.Generator().manual_seed(seed + 1_000_003 * epoch + index)",
    ),
    "augmentation": Advice(
        "what is made of a sample depends on the time, the process, or a generator that nobody seeds",
        "draw what belongs to a sample from a generator seeded by its index and epoch",
        "generator = torch.Generator().manual_seed(seed + 1_000_003 * epoch + index)",
    ),
    "accumulation": Advice(
        "another batch size or number of micro-batches: the same sum, in another order",
        "resume with the same batch size and accumulation",
        "loss = loss / accumulate  # with accumulate as it was",
    ),
    "scaler": Advice(
        "the gradient scaler's state was not restored: it begins with its first scale",
        "save and load the scaler",
        'scaler.load_state_dict(ckpt["scaler"])',
    ),
    "threads": Advice(
        "sums are split over the threads, and added up in another order",
        "resume with the same number of threads",
        "torch.set_num_threads(2)",
    ),
    "compile": Advice(
        "compiled kernels add in an order that depends on threads, and their dropout draws another stream",
        "compile both or neither, with deterministic algorithms and the same kernel cache",
        "torch.use_deterministic_algorithms(True)",
    ),
    "cold_buckets": Advice(
        "DDP rebuilds its gradient buckets after the first backward: a job that was started again reduces its first "
        "step in another layout, so that sums are added in another order",
        "run two throw-away iterations, then load the state and put the generators back",
        "for _ in range(2): ddp(x).sum().backward()  # before the state is loaded",
    ),
    "forward": Advice(
        "another mode (train, eval), precision (autocast), attention kernel, compiled or not, or number of threads",
        "set mode, precision and kernels alike in both, and look at what is constructed otherwise",
        'model.train(); torch.autocast("cpu", dtype=torch.bfloat16)',
    ),
    "arithmetic": Advice(
        "the same inputs gave other sums: threads, kernels that are not deterministic, or memory that nobody filled",
        "ask for deterministic kernels, and fix the number of threads",
        "torch.use_deterministic_algorithms(True); torch.set_num_threads(1)",
    ),
    "other_state": Advice(
        "something else that the file holds was not restored: averaged (EMA) weights, a scaler, a best metric",
        "save and load it beside the weights",
        'ema.load_state_dict(ckpt["ema"])',
    ),
}


def ingredient(
    code: Code, phase: Phase, sentence: str, seen: Seen | None = None, *, missing: bool = True, usually: str = ""
) -> Ingredient:
    """The ingredient, with what is known of it; `usually` says more closely what it comes of here."""
    advice = INGREDIENTS[code]
    return Ingredient(
        code=code,
        phase=phase,
        missing=missing,
        sentence=sentence,
        seen=seen,
        usually=usually or advice.usually,
        remedy=advice.remedy,
        example=advice.example,
    )
