"""Options of the classification commands, each declared once, with the names of timm and VOLO.

Each class is a group of options; a command inherits from its groups.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lvt_classify.options.parser import option


@dataclass(frozen=True)
class DataOptions:
    """Data"""

    data_dir: str = option(help="folder of the data set, or the root that timm's reader of --dataset expects")
    dataset: str = option("", "timm dataset name: '' for folders and tars, wds/…, hfds/…, tfds/…")
    val_split: str = option("validation", "name of the validation split")
    class_map: str = option(
        "",
        "indices of the classes: a .txt file with a class per line, counted from 0, or a .pkl file of a dict "
        "of names and indices; other folders are left out",
        flags=("--class_map",),
    )
    num_classes: int | None = option(
        None,
        "number of classes; default: the checkpoint's, else the largest index of the data set + 1, else 1000",
        low=1,
    )
    exif: bool = option(True, "--no-exif: read images as they are stored, not as their EXIF data turn them")
    img_size: int = option(224, "side of the square input, in pixels", low=32)
    crop_pct: float | None = option(
        None, "share of the image in the centre crop; default: the model's 0.96", low=0.01, high=1
    )
    interpolation: str = option(
        "", "resampling of validation images", choices=("", "bilinear", "bicubic", "nearest")
    )
    batch_size: int = option(128, "images per process and step", flags=("-b",), low=1)
    workers: int = option(4, "data-loading workers per process", flags=("-j",), low=0)


@dataclass(frozen=True)
class ModelOptions:
    """Model"""

    model: str = option("lvt_cls", "timm model name: lvt_cls, lvt, or any other")
    model_kwargs: dict[str, Any] = option({}, "further keywords of the model, e.g. num_recursions=1")


@dataclass(frozen=True)
class DeviceOptions:
    """Device"""

    device: str = option("auto", "auto (CUDA, else the CPU), cpu, cuda, cuda:1, mps …")
    amp: bool = option(
        False,
        "native automatic mixed precision (all three names mean the same)",
        flags=("--native-amp", "--apex-amp"),
    )
    amp_dtype: str = option(
        "auto",
        "auto: bfloat16 if the device supports it, else float16",
        choices=("auto", "bfloat16", "float16"),
    )
    channels_last: bool = option(False, "NHWC memory for images and convolutions")
    compile: bool = option(False, "torch.compile the model", flags=("--torchcompile",))


@dataclass(frozen=True)
class StartOptions:
    """Where to start from"""

    resume: str = option("", "continue a run exactly, from its last.pth.tar; auto: the --experiment's own")
    finetune: str = option(
        "", "start from the weights of a checkpoint; a head with another shape is initialised anew"
    )
    use_ema: bool | None = option(
        None,
        "take the moving average of the weights from the checkpoint of --finetune; default: if it has one, "
        "because training ranked the checkpoints by it",
    )
    quantization_aware: bool = option(
        False, "fine-tune for int8 exports: round weights and inputs of layers to 8 bits"
    )


@dataclass(frozen=True)
class OptimOptions:
    """Optimiser"""

    opt: str = option("adamw", "timm optimiser name")
    lr: float = option(1e-3, "peak learning rate; not scaled by the batch size", low=0)
    weight_decay: float = option(0.05, "weight decay; biases, norms and the class token have none", low=0)
    momentum: float = option(0.9, "momentum, for optimisers that have one", low=0)
    opt_eps: float | None = option(None, "epsilon; default: the optimiser's")
    opt_betas: tuple[float, ...] | None = option(None, "betas; default: the optimiser's")
    layer_decay: float | None = option(None, "learning-rate factor per layer towards the input")
    clip_grad: float | None = option(None, "clip gradients at this value", low=0)
    clip_mode: str = option("norm", "how --clip-grad clips", choices=("norm", "value", "agc"))
    grad_accum_steps: int = option(1, "batches per update", low=1)
    grad_checkpointing: bool = option(False, "recompute activations: less memory, more time")


@dataclass(frozen=True)
class ScheduleOptions:
    """Schedule"""

    epochs: int = option(300, "epochs of the schedule, warm-up included", low=1)
    sched: str = option("cosine", "timm scheduler name")
    sched_on_updates: bool = option(False, "step the schedule per update instead of per epoch")
    warmup_epochs: int = option(5, "epochs of linear warm-up", low=0)
    warmup_lr: float = option(1e-6, "learning rate at the start of the warm-up", low=0)
    min_lr: float = option(1e-5, "learning rate at the end", low=0)
    cooldown_epochs: int = option(0, "epochs at the lowest learning rate after the schedule", low=0)
    decay_epochs: float = option(90.0, "epochs between decays of the step schedule", low=0)
    decay_milestones: tuple[float, ...] = option(
        (30.0, 60.0), "epochs at which the multistep schedule decays", low=0
    )
    decay_rate: float = option(0.1, "factor of each decay of the step and multistep schedules", low=0)


@dataclass(frozen=True)
class AugmentOptions:
    """Augmentation and regularisation"""

    aug: bool = option(True, "--no-aug: resize and centre crop only")
    scale: tuple[float, ...] = option(
        (0.08, 1.0), "smallest and largest area of the random crop, as shares of the image", low=0, high=1
    )
    ratio: tuple[float, ...] = option(
        (3 / 4, 4 / 3), "smallest and largest aspect ratio of the random crop", low=0
    )
    hflip: float = option(0.5, "probability of a horizontal flip", low=0, high=1)
    vflip: float = option(0.0, "probability of a vertical flip", low=0, high=1)
    color_jitter: float = option(0.4, "colour jitter, if --aa is off", low=0)
    aa: str = option("", "timm auto-augment policy, e.g. rand-m9-mstd0.5-inc1; '' for none")
    train_interpolation: str = option(
        "random", "resampling of training crops", choices=("random", "bilinear", "bicubic")
    )
    reprob: float = option(0.0, "probability of random erasing", low=0, high=1)
    remode: str = option("pixel", "fill of random erasing", choices=("pixel", "const", "rand"))
    recount: int = option(1, "number of erased boxes per image", low=1)
    aug_order: str = option(
        "crop-first",
        "crop-last: flip and --aa act on the whole image, as the original release trained; slower",
        choices=("crop-first", "crop-last"),
    )
    smoothing: float = option(0.1, "label smoothing", low=0, high=0.99)
    mixup: float = option(0.0, "alpha of mixup; 0 for none", low=0)
    cutmix: float = option(0.0, "alpha of cutmix; 0 for none", low=0)
    mixup_prob: float = option(1.0, "probability of mixup or cutmix", low=0, high=1)
    mixup_switch_prob: float = option(0.5, "share of cutmix, if mixup is on too", low=0, high=1)
    mixup_mode: str = option("batch", "mix per batch, pair or element", choices=("batch", "pair", "elem"))
    mixup_off_epoch: int = option(0, "turn mixup and cutmix off from this epoch on; 0 for never", low=0)
    drop: float | None = option(None, "dropout; default: the model's own", low=0, high=0.99)
    attn_drop: float | None = option(
        None, "dropout on attention weights; default: the model's own", low=0, high=0.99
    )
    drop_path: float | None = option(
        None, "stochastic depth rate of the last block; default: the model's own", low=0, high=0.99
    )
    dist_bn: str = option(
        "reduce",
        "batch norm after each epoch: mean statistics of all processes, those of the first, or its own",
        choices=("reduce", "broadcast", "none"),
    )
    model_ema: bool = option(False, "keep a moving average of the weights and validate it too")
    model_ema_decay: float = option(0.99992, "decay of the moving average per update", low=0, high=1)


@dataclass(frozen=True)
class TokenLabelOptions:
    """Token labelling"""

    token_label: bool = option(False, "train with a label per token and MixToken")
    token_label_size: int | None = option(
        None, "tokens per side; default: as many as the model has; 1: soft labels of the image only", low=1
    )
    token_label_data: str = option("", "folder of label maps; '': every token takes the label of the image")
    token_label_crop: str = option(
        "upright",
        "original: transposed crops of the maps, as the original release trained",
        choices=("upright", "original"),
    )
    token_label_geometry: str = option(
        "exact",
        "nearest: flips and --aa move maps by whole cells, as the original release trained",
        choices=("exact", "nearest"),
    )
    token_label_teacher: str = option("", "timm model that labels each batch, instead of label maps")
    teacher_checkpoint: str = option("", "weights of the teacher; '' for timm's pretrained ones")
    mix_token: bool = option(True, "--no-mix-token: do not mix images")
    dense_weight: float = option(0.5, "weight of the token loss", low=0)
    cls_weight: float = option(1.0, "weight of the class loss", low=0)
    ground_truth: bool = option(False, "correct the image label of the teacher by the true class")


@dataclass(frozen=True)
class RunOptions:
    """Run"""

    output: str = option("./work_dirs", "folder that holds the folders of all runs")
    experiment: str = option("", "name of the folder of this run; default: date, time, model and size")
    seed: int = option(42, "seed of all random numbers", low=0)
    log_interval: int = option(50, "updates between log lines", low=1)
    recovery_interval: int = option(0, "updates between further saves of last.pth.tar; 0 for none", low=0)
    checkpoint_hist: int = option(3, "number of best checkpoints to keep", low=1)
    eval_metric: str = option(
        "top1", "metric that decides which checkpoints are best", choices=("top1", "top5", "loss")
    )
    tensorboard: bool = option(False, "write TensorBoard events")
    wandb: bool = option(False, "log to Weights & Biases")
    wandb_project: str = option("lvt", "project on Weights & Biases")


@dataclass(frozen=True)
class EvaluateOptions:
    """Checkpoints and results"""

    checkpoint: str = option("", "checkpoint, folder of checkpoints, or exported .pt2 program")
    use_ema: bool | None = option(
        None,
        "take the moving average of the weights from the checkpoint; default: if it has one, because "
        "training ranked the checkpoints by it",
    )
    trust: bool = option(False, "open .pt2 programs, which can run any code")
    test_pool: bool = option(False, "accepted for compatibility: LVT has no test-time pooling")
    results_file: str = option("", "write the results as .json or .csv")
    predictions_file: str = option("", "write the prediction of every image as .csv")
    log_interval: int = option(50, "batches between log lines", low=1)


@dataclass(frozen=True)
class SplitOptions:
    """Training data"""

    train_split: str = option("train", "name of the training split")


@dataclass(frozen=True)
class TrainOptions(
    SplitOptions,
    RunOptions,
    TokenLabelOptions,
    AugmentOptions,
    ScheduleOptions,
    OptimOptions,
    StartOptions,
    DeviceOptions,
    ModelOptions,
    DataOptions,
):
    """Train LVT, or any timm model, on image classification."""


@dataclass(frozen=True)
class ValidateOptions(EvaluateOptions, DeviceOptions, ModelOptions, DataOptions):
    """Validate a classifier: accuracy, parameters, multiply-adds, throughput."""


# Options of earlier versions, which the options.yaml of a run from then still holds.
# --patience-epochs belonged to --sched plateau, which cannot be resumed and is rejected.
RETIRED = {"patience_epochs"}


def option_names() -> set[str]:
    """Return the names that a configuration file may hold: the options of all commands."""
    return {item.name for cls in (TrainOptions, ValidateOptions) for item in fields(cls)} | RETIRED
