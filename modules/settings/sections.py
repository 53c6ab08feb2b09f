"""Every setting of the program, in sections. The field name is the key in `config.json` and in the API."""

from dataclasses import dataclass

from modules.domain.param import param

FORMATS = ("png", "jpg", "jpeg", "webp", "avif")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What is written to disk for each picture, and under which name."""

    samples_save: bool = param(True, label="Always save all generated images", help="Write every picture to disk.")
    samples_format: str = param(
        "png", label="File format for images", choices=FORMATS, help="Format of saved pictures; png is lossless."
    )
    samples_filename_pattern: str = param(
        "", label="Images filename pattern",
        help="Tokens such as [seed] or [prompt_words]; empty picks a pattern that suits the folder layout.",
    )  # fmt: skip
    save_images_add_number: bool = param(
        True, label="Add number to filename when saving", help="Begin each file name with a running number."
    )
    save_images_replace_action: str = param(
        "Replace", label="Saving the image to an existing file", choices=("Replace", "Add number suffix"),
        help="What happens when the chosen file name is taken.",
    )  # fmt: skip
    grid_save: bool = param(True, label="Always save all generated image grids", help="Write the overview picture too.")
    grid_format: str = param("png", label="File format for grids", choices=FORMATS, help="Format of saved grids.")
    grid_extended_filename: bool = param(
        False, label="Add extended info (seed, prompt) to filename when saving grid",
        help="Name grids like pictures, with the pattern, instead of by number only.",
    )  # fmt: skip
    grid_only_if_multiple: bool = param(
        True, label="Do not save grids consisting of one picture", help="Skip the grid when there is one picture."
    )
    grid_prevent_empty_spots: bool = param(
        False, label="Prevent empty spots in grid (when set to autodetect)",
        help="Choose a number of rows that divides the number of pictures.",
    )  # fmt: skip
    n_rows: int = param(
        -1, label="Grid row count", ge=-1, le=1024, slider=(-1, 16), step=1,
        help="-1 makes grids as square as possible, 0 uses the batch size.",
    )  # fmt: skip
    font: str = param(
        "", label="Font for image grids that have text",
        help="A .ttf or .otf file, or the name of one of the system's; empty takes one that can write the texts.",
    )  # fmt: skip
    grid_text_active_color: str = param(
        "#000000", label="Text color for image grids", help="Colour of the labels of a grid."
    )
    grid_text_inactive_color: str = param(
        "#999999", label="Inactive text color for image grids", help="Colour of labels that are struck out."
    )
    grid_background_color: str = param(
        "#ffffff", label="Background color for image grids", help="Colour behind and between the pictures of a grid."
    )
    img_max_size_mp: float = param(
        200, label="Maximum image size", ge=1, le=100_000, help="Largest grid of the X/Y/Z plot, megapixels."
    )
    jpeg_quality: int = param(
        80, label="Quality for saved jpeg and avif images", ge=1, le=100, slider=(1, 100), step=1,
        help="Higher is larger and closer to the original; also used for lossy webp.",
    )  # fmt: skip
    webp_lossless: bool = param(False, label="Use lossless compression for webp images", help="Store webp exactly.")
    export_for_4chan: bool = param(
        True, label="Save copy of large images as JPG", help="Write an additional smaller jpg beside oversize pictures."
    )
    img_downscale_threshold: float = param(
        4.0, label="File size limit for the above option, MB", ge=0, le=100_000,
        help="A file larger than this gets the smaller copy.",
    )  # fmt: skip
    target_side_length: int = param(
        4000, label="Width/height limit for the above option, in pixels", ge=1, le=65535,
        help="A side longer than this gets the smaller copy, scaled down to it.",
    )  # fmt: skip
    save_images_before_highres_fix: bool = param(
        False, label="Save a copy of image before applying highres fix",
        help="Also write what the first pass made, with -before-highres-fix in its name.",
    )  # fmt: skip
    save_images_before_color_correction: bool = param(
        False, label="Save a copy of image before applying color correction to img2img results",
        help="Also write the picture with its own colours, with -before-color-correction in its name.",
    )  # fmt: skip
    save_mask: bool = param(
        False, label="For inpainting, save a copy of the greyscale mask",
        help="Also write the mask, with -mask in its name.",
    )  # fmt: skip
    save_mask_composite: bool = param(
        False, label="For inpainting, save a masked composite",
        help="Also write what was painted, cut out by the mask, with -mask-composite in its name.",
    )  # fmt: skip
    save_init_img: bool = param(
        False, label="Save init images when using img2img",
        help="Keep each picture that a run starts from once, named by its hash, and tell the hash in the infotext.",
    )  # fmt: skip
    use_original_name_batch: bool = param(
        True, label="Use original name for output filename during batch process in extras tab",
        help="Name what Extras makes of several pictures after them; off numbers it.",
    )  # fmt: skip
    use_upscaler_name_as_suffix: bool = param(
        False, label="Use upscaler name as filename suffix in the extras tab",
        help="End the names of enlarged pictures with the upscaler that enlarged them.",
    )  # fmt: skip
    save_incomplete_images: bool = param(
        False, label="Save incomplete images", help="Also write the picture of an interrupted run."
    )
    save_selected_only: bool = param(
        True, label="When using 'Save' button, only save a single selected image",
        help="Off saves all pictures of the gallery.",
    )  # fmt: skip
    save_write_log_csv: bool = param(
        True, label="Write log.csv when saving images using 'Save' button",
        help="Add a line with prompt, seed and size to log.csv in the folder of saved pictures.",
    )  # fmt: skip
    use_save_to_dirs_for_ui: bool = param(
        False, label="When using 'Save' button, save images to a subdirectory",
        help="Sort pictures that are saved by hand into sub-folders too.",
    )  # fmt: skip
    grid_zip_filename_pattern: str = param(
        "", label="Archive filename pattern",
        help="Name of the files that Zip makes; empty is [datetime]_[[model_name]]_[seed]-[seed_last].",
    )  # fmt: skip
    save_to_dirs: bool = param(True, label="Save images to a subdirectory", help="Sort pictures into sub-folders.")
    grid_save_to_dirs: bool = param(True, label="Save grids to a subdirectory", help="Sort grids into sub-folders.")
    directories_filename_pattern: str = param(
        "[date]", label="Directory name pattern", help="Tokens that name the sub-folder; / starts a deeper one."
    )
    directories_max_prompt_words: int = param(
        8, label="Max prompt words for [prompt_words] pattern", ge=1, le=100, slider=(1, 20), step=1,
        help="How many words of the prompt the token [prompt_words] keeps.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Folders for results, relative to the data folder unless absolute."""

    outdir_samples: str = param(
        "",
        label="Output directory for images",
        help="One folder for all pictures made in the browser; empty uses the next ones.",
    )
    outdir_txt2img_samples: str = param(
        "outputs/txt2img-images",
        label="Output directory for txt2img images",
        help="Folder for pictures made from text.",
    )
    outdir_img2img_samples: str = param(
        "outputs/img2img-images",
        label="Output directory for img2img images",
        help="Folder for pictures made from pictures.",
    )
    outdir_extras_samples: str = param(
        "outputs/extras-images",
        label="Output directory for images from extras tab",
        help="Folder for pictures that Extras made.",
    )
    outdir_init_images: str = param(
        "outputs/init-images",
        label="Directory for saving init images when using img2img",
        help="Folder for the pictures that runs start from, when they are kept.",
    )
    outdir_save: str = param(
        "log/images",
        label="Directory for saving images using the Save button",
        help="Folder for pictures that are saved by hand, and for log.csv.",
    )
    outdir_grids: str = param(
        "",
        label="Output directory for grids",
        help="One folder for all grids made in the browser; empty uses the next ones.",
    )
    outdir_txt2img_grids: str = param(
        "outputs/txt2img-grids",
        label="Output directory for txt2img grids",
        help="Folder for grids of pictures made from text.",
    )
    outdir_img2img_grids: str = param(
        "outputs/img2img-grids",
        label="Output directory for img2img grids",
        help="Folder for grids of pictures made from pictures.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """The queue that all clients share."""

    queue_max_jobs: int = param(
        100, label="Longest queue", ge=1, le=100_000, help="Jobs that may wait at once; more are refused."
    )
    queue_max_jobs_per_client: int = param(
        32, label="Most waiting jobs of one client", ge=1, le=100_000,
        help="Jobs that one network address may have waiting at once.",
    )  # fmt: skip
    queue_resume_after_restart: bool = param(
        False, label="Run waiting jobs after a restart",
        help="Off lists what waited when the program ended as not run, to be started again by hand. Requests whose "
        "client held the line are never run again.",
    )  # fmt: skip
    queue_group_by_model: bool = param(
        False, label="Prefer waiting jobs that use the loaded model",
        help="Saves switching between checkpoints; a job may then overtake others that came before it.",
    )  # fmt: skip
    queue_max_overtakes: int = param(
        8, label="How often a waiting job may be overtaken", ge=1, le=1000,
        help="After so many times it is its turn, whatever model it uses.",
    )  # fmt: skip
    disable_all_extensions: str = param(
        "none", label="Disable all extensions", choices=("none", "extra", "all"),
        help="extra leaves only those that come with the program. Holds from the next start on.",
    )  # fmt: skip
    prioritized_handlers: tuple[str, ...] = param(
        (), label="Handlers of extensions that come first",
        help="By name, as `extension/handler`, in this order, whatever they declare. Holds from the next start on.",
    )  # fmt: skip
    disabled_extensions: tuple[str, ...] = param(
        (), label="Disabled extensions", help="Folders of extensions that do not run. Holds from the next start on."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Limits and manners of the API. A remote client cannot change them."""

    api_enable_requests: bool = param(
        True, label="Allow http:// and https:// URLs for input images in API",
        help="Where other machines can reach this server, nothing is downloaded until this is saved here as on.",
    )  # fmt: skip
    api_forbid_local_requests: bool = param(
        True, label="Forbid URLs to local resources",
        help="Pictures are downloaded from the public internet only, whatever a name or a redirect leads to.",
    )  # fmt: skip
    api_useragent: str = param("", label="User agent for requests", help="Sent with downloads; empty sends none.")
    api_max_body_mb: int = param(
        100, label="Largest request body, MB", ge=1, le=10_000, help="A longer body is refused before it is read."
    )
    api_max_image_mb: int = param(
        50, label="Largest input image, MB", ge=1, le=10_000, help="Limit for the file of one picture sent to us."
    )
    api_max_image_mpixels: float = param(
        64.0, label="Largest input image, megapixels", ge=0.01, le=178,
        help="Read from the file's header, before the picture is decoded.",
    )  # fmt: skip
    api_max_images_per_request: int = param(
        256, label="Most pictures per request", ge=1, le=64_000, help="Pictures that one request may send or ask for."
    )
    api_max_result_mpixels: float = param(
        32.0, label="Largest generated picture, megapixels", ge=0.01, le=1000, help="Width times height of one result."
    )
    api_max_total_mpixels: float = param(
        2000.0, label="Most pixels per request, megapixels", ge=0.01, le=1_000_000,
        help="Pixels of all pictures of one request together.",
    )  # fmt: skip
    api_max_upscaled_mpixels: float = param(
        128.0,
        label="Largest upscaled picture, megapixels",
        ge=0.01,
        le=1000,
        help="Width times height of one result of Extras.",
    )
    api_max_prompt_chars: int = param(
        50_000, label="Longest prompt, characters", ge=1, le=10_000_000, help="Limit for each prompt of a request."
    )
    api_cancel_on_disconnect: bool = param(
        True, label="Cancel a job when its API client disconnects", help="Jobs started in the browser always continue."
    )
    api_strict_names: bool = param(
        False, label="Refuse unknown sampler and scheduler names",
        help="Off replaces them by the default and says so in the answer.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sd:
    """The model and how prompts and noise become its input."""

    sd_model_checkpoint: str | None = param(
        None, label="Stable Diffusion checkpoint", infotext="Model hash", choices="checkpoints",
        help="The model that generates; none picks the first one found.",
    )  # fmt: skip
    sd_checkpoints_automatic: bool = param(
        True, label="Keep checkpoints loaded while there is room",
        help="Keep more checkpoints and VAEs in memory than the numbers below as long as they take a moderate share.",
    )  # fmt: skip
    sd_checkpoints_limit: int = param(
        1, label="Maximum number of checkpoints loaded at the same time", ge=1, le=10, slider=(1, 10), step=1,
        help="So many stay in memory, the one in use included.",
    )  # fmt: skip
    sd_checkpoints_keep_in_cpu: bool = param(
        True, label="Only keep one model on device",
        help="The other checkpoints that stay loaded wait in main memory instead of that of the graphics card.",
    )  # fmt: skip
    sd_checkpoint_cache: int = param(
        0, label="Checkpoints to cache in RAM", ge=0, le=10, slider=(0, 10), step=1,
        help="The older way to say the same: the larger of this and the maximum number counts.",
    )  # fmt: skip
    enable_quantization: bool = param(
        False, label="Enable quantization in K samplers",
        help="Move each noise level to the nearest one the model was trained on.",
    )  # fmt: skip
    sd_prediction_type: str = param(
        "Automatic", label="Prediction type", infotext="Prediction type",
        choices=("Automatic", "eps", "v", "v + zero SNR"),
        help='What checkpoints predict; Automatic asks the file and the "prediction_type" in its .json.',
    )  # fmt: skip
    emphasis: str = param(
        "Original", label="Emphasis mode", infotext="Emphasis", choices=("None", "Ignore", "Original", "No norm"),
        help="How (brackets) and :weights in a prompt act.",
    )  # fmt: skip
    comma_padding_backtrack: int = param(
        20, label="Prompt word wrap length limit", ge=0, le=74, slider=(0, 74), step=1,
        help="A chunk of tokens may end this many tokens early, at a comma, so that a phrase stays whole.",
    )  # fmt: skip
    CLIP_stop_at_last_layers: int = param(
        1, label="Clip skip", infotext="Clip skip", ge=1, le=12, slider=(1, 12), step=1,
        help="1 uses the text encoder's last layer, 2 the one before it, and so on.",
    )  # fmt: skip
    sdxl_clip_l_skip: bool = param(
        False, label="Clip skip SDXL",
        help="Let Clip skip choose the layer of the smaller of SDXL's two text encoders; the larger one never changes.",
    )  # fmt: skip
    upcast_attn: bool = param(
        False, label="Upcast cross attention layer to float32",
        help="Slower; cures black pictures of some 2.x models.",
    )  # fmt: skip
    randn_source: str = param(
        "GPU", label="Random number generator source", infotext="RNG", choices=("GPU", "CPU", "NV"),
        help="CPU and NV give the same picture on every machine.",
    )  # fmt: skip
    tiling: bool = param(False, label="Tiling", infotext="Tiling", help="Make pictures that repeat without a seam.")
    enable_prompt_comments: bool = param(
        True, label="Enable comments", help="Leave out of the prompt what follows a # until the end of the line."
    )
    hires_fix_refiner_pass: str = param(
        "second pass", label="Hires fix: which pass to enable refiner for", infotext="Hires refiner",
        choices=("first pass", "second pass", "both passes"), help="Where the refiner takes over in a hires run.",
    )  # fmt: skip
    sd_unet: str = param(
        "Automatic", label="SD Unet", choices="unets",
        help="A network that an extension offers in the place of the checkpoint's own. Automatic takes one that is made "
        "for the checkpoint, None always the checkpoint's own.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdxl:
    """What Stable Diffusion XL is told about the picture besides the prompt."""

    sdxl_crop_top: int = param(
        0, label="crop top coordinate", ge=0, le=16384,
        help="Pixels that the picture is said to be cut off at the top; above 0 subjects move out of the frame.",
    )  # fmt: skip
    sdxl_crop_left: int = param(
        0,
        label="crop left coordinate",
        ge=0,
        le=16384,
        help="Pixels that the picture is said to be cut off at the left.",
    )
    sdxl_refiner_low_aesthetic_score: float = param(
        2.5, label="SDXL low aesthetic score", ge=0, le=100, help="Beauty the refiner is told of the negative prompt."
    )
    sdxl_refiner_high_aesthetic_score: float = param(
        6.0, label="SDXL high aesthetic score", ge=0, le=100, help="Beauty the refiner is told of the prompt."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vae:
    """The decoder from latents to pixels."""

    sd_vae: str = param(
        "Automatic", label="SD VAE", infotext="VAE", choices="vaes",
        help="Automatic takes a VAE named like the checkpoint, None the one inside it.",
    )  # fmt: skip
    sd_vae_checkpoint_cache: int = param(
        0, label="VAE checkpoints to cache in RAM", ge=0, le=10, slider=(0, 10), step=1,
        help="So many VAEs stay in memory beside the one in use.",
    )  # fmt: skip
    forge_additional_modules: tuple[str, ...] = param(
        (), label="VAE / Text Encoder", choices="modules",
        help="Files from models/text_encoder and models/VAE that take the place of a checkpoint's own parts.",
    )  # fmt: skip
    sd_vae_overrides_per_model_preferences: bool = param(
        True, label="Selected VAE overrides per-model preferences",
        help="A VAE chosen here wins over one that belongs to the checkpoint.",
    )  # fmt: skip
    sd_vae_encode_method: str = param(
        "Full", label="VAE type for encode", infotext="VAE Encoder", choices=("Full", "TAESD"),
        help="TAESD encodes faster and rougher; its files belong in models/VAE-approx.",
    )  # fmt: skip
    sd_vae_decode_method: str = param(
        "Full", label="VAE type for decode", infotext="VAE Decoder", choices=("Full", "TAESD"),
        help="TAESD decodes faster and rougher; its files belong in models/VAE-approx.",
    )  # fmt: skip
    auto_vae_precision: bool = param(
        True, label="Automatically revert VAE to 32-bit floats",
        help="Decode again in full precision when half precision overflows.",
    )  # fmt: skip
    auto_vae_precision_bfloat16: bool = param(
        False, label="Automatically convert VAE to bfloat16", help="Try bfloat16 first when half precision overflows."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Img2img:
    """Runs that start from a picture."""

    inpainting_mask_weight: float = param(
        1.0, label="Inpainting conditioning mask strength", infotext="Conditional mask weight", ge=0, le=1,
        slider=(0, 1), step=0.01, help="How much of the masked part inpainting models do not get to see.",
    )  # fmt: skip
    initial_noise_multiplier: float = param(
        1.0, label="Noise multiplier for img2img", infotext="Noise multiplier", ge=0, le=100, slider=(0, 1.5),
        step=0.001, help="Factor on the noise that a run on a picture starts with.",
    )  # fmt: skip
    img2img_extra_noise: float = param(
        0.0, label="Extra noise multiplier for img2img and hires fix", infotext="Extra noise", ge=0, le=100,
        slider=(0, 1), step=0.01, help="Noise added on top of what the denoising strength asks for.",
    )  # fmt: skip
    img2img_color_correction: bool = param(
        False, label="Apply color correction to img2img results to match original colors",
        help="Give the result the distribution of colours of the picture it started from.",
    )  # fmt: skip
    img2img_fix_steps: bool = param(
        False, label="With img2img, do exactly the amount of steps the slider specifies",
        help="Off runs only the share of the steps that the denoising strength asks for.",
    )  # fmt: skip
    img2img_background_color: str = param(
        "#ffffff", label="With img2img, fill transparent parts of the input image with this color",
        help="A colour name or #rrggbb.",
    )  # fmt: skip
    return_mask: bool = param(
        False,
        label="For inpainting, include the greyscale mask in results for web",
        help="Add the mask to the results.",
    )
    return_mask_composite: bool = param(
        False, label="For inpainting, include masked composite in results for web",
        help="Add what was painted, cut out by the mask, to the results.",
    )  # fmt: skip
    img2img_batch_show_results_limit: int = param(
        32, label="Show the first N batch img2img results in UI", ge=-1, le=1000, slider=(-1, 1000), step=1,
        help="How many results of a run over a folder are shown and answered; 0 shows none, -1 all.",
    )  # fmt: skip
    overlay_inpaint: bool = param(
        True, label="Overlay original for inpaint",
        help="Put the original pixels back over the result where nothing was to be repainted.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizations:
    """Speed and memory against exactness."""

    cross_attention_optimization: str = param(
        "Automatic", label="Cross attention optimization", choices="attention_backends",
        help="Which implementation computes attention.",
    )  # fmt: skip
    s_min_uncond: float = param(
        0.0, label="Negative Guidance minimum sigma", infotext="NGMS", ge=0, le=1000, slider=(0, 15), step=0.01,
        help="Skip the negative prompt on some steps below this noise level; 0 is off.",
    )  # fmt: skip
    s_min_uncond_all: bool = param(
        False, label="Negative Guidance minimum sigma all steps", infotext="NGMS all steps",
        help="Skip it on all of those steps instead of every other one.",
    )  # fmt: skip
    token_merging_ratio: float = param(
        0.0, label="Token merging ratio", infotext="Token merging ratio", ge=0, le=0.9, slider=(0, 0.9), step=0.1,
        help="Share of the tokens that similar neighbours stand in for; faster and coarser. 0 is off.",
    )  # fmt: skip
    token_merging_ratio_img2img: float = param(
        0.0, label="Token merging ratio for img2img", ge=0, le=0.9, slider=(0, 0.9), step=0.1,
        help="The same for runs on pictures; 0 takes the general ratio.",
    )  # fmt: skip
    token_merging_ratio_hr: float = param(
        0.0, label="Token merging ratio for high-res pass", infotext="Token merging ratio hr", ge=0, le=0.9,
        slider=(0, 0.9), step=0.1, help="The same for the second pass of hires fix; 0 takes the general ratio.",
    )  # fmt: skip
    pad_cond_uncond: bool = param(
        False, label="Pad prompt/negative prompt", infotext="Pad conds",
        help="Make both prompts equally long, so that they fit in one batch.",
    )  # fmt: skip
    pad_cond_uncond_v0: bool = param(
        False, label="Pad prompt/negative prompt (v0)", infotext="Pad conds v0",
        help="An older padding that may cut the negative prompt; for old pictures.",
    )  # fmt: skip
    persistent_cond_cache: bool = param(
        True, label="Persistent cond cache", help="Keep encoded prompts for the next run."
    )
    batch_cond_uncond: bool = param(
        True, label="Batch cond/uncond", help="Send prompt and negative prompt through the model together."
    )
    fp8_storage: str = param(
        "Disable", label="FP8 weight", infotext="FP8 weight", choices=("Disable", "Enable for SDXL", "Enable"),
        help="Keep the weights of the UNet in 8 bits: half the memory, slightly other pictures.",
    )  # fmt: skip
    cache_fp16_weight: bool = param(
        False, label="Cache FP16 weight for LoRA", infotext="Cache FP16 weight for LoRA",
        help="With FP8 weights, keep a copy of 16 bits in main memory, to which networks are added.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Compatibility:
    """Ways of older versions, for making their pictures again."""

    auto_backcompat: bool = param(
        True, label="Automatic backward compatibility",
        help="Switch old behaviour on when a pasted text names an old version.",
    )  # fmt: skip
    use_old_emphasis_implementation: bool = param(
        False, label="Use old emphasis implementation",
        help="Find brackets among the tokens, without numbers, and cut prompts off after 75 tokens, as at first.",
    )  # fmt: skip
    use_old_karras_scheduler_sigmas: bool = param(
        False, label="Use old karras scheduler sigmas (0.1 to 10)", help="The range that very old versions used."
    )
    no_dpmpp_sde_batch_determinism: bool = param(
        False, label="Do not make DPM++ SDE deterministic across different batch sizes",
        help="Draw one noise path for the whole batch, as old versions did.",
    )  # fmt: skip
    use_old_scheduling: bool = param(
        False, label="Use old prompt editing timelines", infotext="Old prompt editing timelines",
        help="Read whole numbers in [from:to:when] in the manner of versions before 1.6.",
    )  # fmt: skip
    use_downcasted_alpha_bar: bool = param(
        False, label="Downcast model alphas_cumprod to fp16 before sampling", infotext="Downcast alphas_cumprod",
        help="Round the noise table to half precision, as versions before 1.7 did.",
    )  # fmt: skip
    use_old_hires_fix_width_height: bool = param(
        False, label="For hires fix, use width/height sliders to set final resolution rather than first pass",
        help="Width and height are those of the finished picture; the first pass is made smaller.",
    )  # fmt: skip
    hires_fix_use_firstpass_conds: bool = param(
        False, label="For hires fix, calculate conds of second pass using extra networks of first pass",
        help="Encode the prompts of both passes with the model of the first.",
    )  # fmt: skip
    refiner_switch_by_sample_steps: bool = param(
        False, label="Switch to refiner by sampling steps instead of model timesteps",
        infotext="Refiner switch by sampling steps", help="Count steps, as versions before 1.8 did, not noise levels.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraNetworks:
    """LoRAs, embeddings and hypernetworks."""

    extra_networks_default_multiplier: float = param(
        1.0, label="Default multiplier for extra networks", ge=0, le=100, slider=(0, 2), step=0.01,
        help="Strength of a network that is chosen below or inserted by a click.",
    )  # fmt: skip
    sd_lora: str = param(
        "None", label="Add network to prompt", choices="loras",
        help="Appends the tag of this LoRA to every prompt that does not mention it.",
    )  # fmt: skip
    sd_hypernetwork: str = param(
        "None", label="Add hypernetwork to prompt", choices="hypernetworks",
        help="Appends the tag of this hypernetwork to every prompt that does not mention it.",
    )  # fmt: skip
    lora_add_hashes_to_infotext: bool = param(
        True, label="Add Lora hashes to infotext", help="Write the key Lora hashes, by which others find the files."
    )
    textual_inversion_add_hashes_to_infotext: bool = param(
        True, label="Add Textual Inversion hashes to infotext",
        help="Write the key TI hashes, by which others find the embeddings.",
    )  # fmt: skip
    lora_bundled_ti_to_infotext: bool = param(
        True, label="Add Lora name as TI hashes for bundled Textual Inversion",
        help="Mention embeddings that a LoRA brought along under TI hashes too.",
    )  # fmt: skip
    lora_in_memory_limit: int = param(
        0, label="Number of Lora networks to keep cached in memory", ge=0, le=1000,
        help="How many LoRA files stay in main memory beside those in use.",
    )  # fmt: skip
    lora_not_found_warning_console: bool = param(
        False, label="Lora not found warning in console", help="Also write to the log which LoRAs were not found."
    )
    extra_networks_show_hidden_directories: bool = param(
        True,
        label="Show hidden directories",
        help="Folders whose name begins with a dot are among the folders of cards.",
    )
    extra_networks_dir_button_function: bool = param(
        False, label="Add a '/' to the beginning of directory buttons",
        help="A folder then shows what lies below it and not other folders whose path holds its name.",
    )  # fmt: skip
    extra_networks_hidden_models: str = param(
        "When searched", label="Show cards for models in hidden directories", choices=("Always", "When searched", "Never"),
        help="When searched: only while at least four characters are searched for.",
    )  # fmt: skip
    extra_networks_card_width: int = param(
        0, label="Card width for Extra Networks", ge=0, le=2000, help="In pixels; 0 is the usual one."
    )
    extra_networks_card_height: int = param(
        0, label="Card height for Extra Networks", ge=0, le=2000, help="In pixels; 0 is the usual one."
    )
    extra_networks_card_text_scale: float = param(
        1.0, label="Card text scale", ge=0, le=2, slider=(0, 2), step=0.01, help="1 is the usual size of letters."
    )
    extra_networks_card_show_desc: bool = param(
        True, label="Show description on card", help="Below the name, as far as there is room."
    )
    extra_networks_card_order_field: str = param(
        "Path", label="Default order field for Extra Networks cards", choices=("Path", "Name", "Date Created", "Date Modified"),
        help="What cards are sorted by at first.",
    )  # fmt: skip
    extra_networks_card_order: str = param(
        "Ascending", label="Default order for Extra Networks cards", choices=("Ascending", "Descending"),
        help="In which direction cards are sorted at first.",
    )  # fmt: skip
    extra_networks_tree_view_style: str = param(
        "Dirs", label="Extra Networks directory view style", choices=("Tree", "Dirs"),
        help="Folders as a tree beside the cards, or as buttons above them.",
    )  # fmt: skip
    extra_networks_tree_view_default_enabled: bool = param(
        True, label="Show the Extra Networks directory view by default", help="Folders are shown at first."
    )
    extra_networks_tree_view_default_width: int = param(
        180, label="Default width for the Extra Networks directory tree view", ge=50, le=1000, help="In pixels."
    )
    extra_networks_add_text_separator: str = param(
        " ", label="Extra networks separator", help="Stands between the prompt and what a card appends."
    )
    ui_extra_networks_tab_reorder: str = param(
        "", label="Extra networks tab order",
        help="Titles of pages with commas between them; those named come first. Holds after Reload UI.",
    )  # fmt: skip
    lora_preferred_name: str = param(
        "Alias from file", label="When adding to prompt, refer to Lora by", choices=("Alias from file", "Filename"),
        help="What its trainer called it, where that is clear, or the name of its file.",
    )  # fmt: skip
    lora_show_all: bool = param(
        False, label="Always show all networks on the Lora page",
        help="Off hides those made for another kind of model than the one in use.",
    )  # fmt: skip
    lora_hide_unknown_for_versions: tuple[str, ...] = param(
        (), label="Hide networks of unknown versions for model versions",
        help="SD1, SD2 or SDXL: with such a model, networks of which nobody knows what they are made for are hidden.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ui:
    """What the page shows."""

    return_grid: bool = param(True, label="Show grid in gallery", help="Put the grid before the pictures.")
    do_not_show_images: bool = param(
        False, label="Do not show any images in gallery", help="Only save pictures, do not show them."
    )
    gallery_height: str = param(
        "", label="Gallery height", help="A CSS length such as 768px or 70vh; empty is automatic."
    )
    js_modal_lightbox: bool = param(
        True, label="Full page image viewer", help="A click on a finished picture shows it over the whole page."
    )
    js_modal_lightbox_initially_zoomed: bool = param(
        True, label="Full page image viewer: show images zoomed in by default",
        help="Begin with the picture as large as the page allows; off begins with its own size at most.",
    )  # fmt: skip
    open_dir_button_choice: str = param(
        "Subdirectory", label="What directory the open directory button opens",
        choices=("Output Root", "Subdirectory", "Subdirectory (even temp dir)"),
        help="The folder of all results, or the one that the selected picture lies in.",
    )  # fmt: skip
    hires_fix_show_sampler: bool = param(
        False, label="Hires fix: show hires checkpoint and sampler selection",
        help="Show these controls always, not only when a pasted text uses them.",
    )  # fmt: skip
    hires_fix_show_prompts: bool = param(
        False, label="Hires fix: show hires prompt and negative prompt",
        help="Show these fields always, not only when a pasted text uses them.",
    )  # fmt: skip
    disable_token_counters: bool = param(
        False, label="Disable prompt token counters", help="Leave out the numbers beside the prompts."
    )
    show_progress_in_title: bool = param(
        True, label="Show generation progress in window title", help="Write percent and time left into the title."
    )
    localization: str = param(
        "None", label="Localization", choices="localizations",
        help="Language of the page, out of the files in localizations; holds when the page is loaded again.",
    )  # fmt: skip
    quicksettings_list: tuple[str, ...] = param(
        ("sd_model_checkpoint",), label="Quicksettings list", choices="settings",
        help="Settings shown at the top of the page, after it was built anew.",
    )  # fmt: skip
    ui_tab_order: tuple[str, ...] = param(
        (), label="UI tab order", choices="tabs", help="Tabs that come first, after the page was built anew."
    )
    hidden_tabs: tuple[str, ...] = param(
        (), label="Hidden UI tabs", choices="tabs",
        help="Tabs that are left out, after the page was built anew; Settings always stays.",
    )  # fmt: skip
    ui_reorder_list: tuple[str, ...] = param(
        (), label="UI item order for txt2img/img2img tabs", choices="blocks",
        help="Groups of controls that come first, after the page was built anew.",
    )  # fmt: skip
    model_defaults: bool = param(
        True, label="Controls follow the checkpoint",
        help="Size, steps, CFG scale and sampler become what suits a checkpoint when it is chosen, unless you typed others.",
    )  # fmt: skip
    model_presets: bool = param(
        True, label="Restore what was saved for a checkpoint",
        help="Values kept with Save for this checkpoint come back whenever it is chosen.",
    )  # fmt: skip
    send_seed: bool = param(
        True, label="Send seed when sending prompt or image to other interface", help="Copy the seed between tabs."
    )
    send_size: bool = param(
        True, label="Send size when sending prompt or image to another interface", help="Copy the size between tabs."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Infotext:
    """The parameters text stored in pictures and read back from them."""

    enable_pnginfo: bool = param(
        True, label="Write infotext to metadata of the generated image", help="Store the parameters in the picture."
    )
    save_txt: bool = param(
        False, label="Create a text file with infotext next to every generated image",
        help="Store the parameters in a text file as well.",
    )  # fmt: skip
    add_model_name_to_info: bool = param(True, label="Add model name to infotext", help="Write the key Model.")
    add_model_hash_to_info: bool = param(True, label="Add model hash to infotext", help="Write the key Model hash.")
    add_vae_name_to_info: bool = param(True, label="Add VAE name to infotext", help="Write the key VAE.")
    add_vae_hash_to_info: bool = param(True, label="Add VAE hash to infotext", help="Write the key VAE hash.")
    add_user_name_to_info: bool = param(
        False,
        label="Add user name to infotext when authenticated",
        help="Write the key User when someone is logged in.",
    )
    add_version_to_infotext: bool = param(True, label="Add program version to infotext", help="Write the key Version.")
    disable_weights_auto_swap: bool = param(
        True, label="Disregard checkpoint information from pasted infotext",
        help="Keep the current model when a pasted text names another one.",
    )  # fmt: skip
    infotext_skip_pasting: tuple[str, ...] = param(
        (), label="Disregard fields from pasted infotext", choices="infotext_keys",
        help="Keys of a pasted text that are left out.",
    )  # fmt: skip
    infotext_styles: str = param(
        "Apply if any", label="Infer styles from prompts of pasted infotext",
        choices=("Ignore", "Apply", "Discard", "Apply if any"),
        help="Find saved styles in a pasted prompt and select them.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Previews:
    """Pictures of the work in progress."""

    live_previews_enable: bool = param(
        True, label="Show live previews of the created image", help="Show the picture while it is being made."
    )
    live_previews_image_format: str = param(
        "png", label="Live preview file format", choices=("jpeg", "png", "webp"), help="jpeg needs the least traffic."
    )
    show_progress_grid: bool = param(
        True, label="Show previews of all images generated in a batch as a grid", help="Off shows the first one only."
    )
    show_progress_every_n_steps: int = param(
        1, label="Live preview display period", ge=-1, le=1000, slider=(-1, 32), step=1,
        help="Steps between previews, at most five a second are made; -1 shows each batch only when it is finished.",
    )  # fmt: skip
    show_progress_type: str = param(
        "Approx cheap", label="Live preview method", choices=("Full", "Approx NN", "Approx cheap", "TAESD"),
        help="Full decodes with the VAE, exact and slow; Approx cheap costs next to nothing; TAESD and Approx NN need "
        "their files in models/VAE-approx.",
    )  # fmt: skip
    live_preview_refresh_period: int = param(
        1000, label="Progressbar and preview update period", ge=50, le=600_000,
        help="Milliseconds between two looks at the progress.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Numbers of samplers and schedules that requests may leave open."""

    hide_samplers: tuple[str, ...] = param(
        (), label="Hide samplers in user interface", choices="samplers", help="Samplers not offered in the page."
    )
    eta_ddim: float = param(
        0.0, label="Eta for DDIM", infotext="Eta DDIM", ge=0, le=100, slider=(0, 1), step=0.01,
        help="Share of fresh noise per step of DDIM; 0 is deterministic.",
    )  # fmt: skip
    eta_ancestral: float = param(
        1.0, label="Eta for k-diffusion samplers", infotext="Eta", ge=0, le=100, slider=(0, 1), step=0.01,
        help="Share of fresh noise per step of ancestral and SDE samplers.",
    )  # fmt: skip
    s_churn: float = param(
        0.0, label="sigma churn", infotext="Sigma churn", ge=0, le=1000, slider=(0, 100), step=0.01,
        help="How much noise Euler, Heun and DPM2 add back while they work.",
    )  # fmt: skip
    s_tmin: float = param(
        0.0, label="sigma tmin", infotext="Sigma tmin", ge=0, le=1000, slider=(0, 10), step=0.01,
        help="Noise level below which no noise is added back.",
    )  # fmt: skip
    s_tmax: float = param(
        0.0, label="sigma tmax", infotext="Sigma tmax", ge=0, le=10_000, slider=(0, 999), step=0.01,
        help="Noise level above which no noise is added back; 0 is no limit.",
    )  # fmt: skip
    s_noise: float = param(
        1.0, label="sigma noise", infotext="Sigma noise", ge=0, le=100, slider=(0, 1.1), step=0.001,
        help="Factor on all noise that samplers add.",
    )  # fmt: skip
    sigma_min: float = param(
        0.0, label="sigma min", infotext="Schedule min sigma", ge=0, le=10_000,
        help="Lowest noise level of the schedule; 0 uses the model's.",
    )  # fmt: skip
    sigma_max: float = param(
        0.0, label="sigma max", infotext="Schedule max sigma", ge=0, le=100_000,
        help="Highest noise level of the schedule; 0 uses the model's.",
    )  # fmt: skip
    rho: float = param(
        0.0, label="rho", infotext="Schedule rho", ge=0, le=1000,
        help="Curvature of the Karras and polyexponential schedules; 0 uses their own.",
    )  # fmt: skip
    eta_noise_seed_delta: int = param(
        0, label="Eta noise seed delta", infotext="ENSD", ge=-(2**63), le=2**63 - 1,
        help="Added to the seed for the noise drawn between steps; 31337 imitates NovelAI.",
    )  # fmt: skip
    always_discard_next_to_last_sigma: bool = param(
        False, label="Always discard next-to-last sigma", infotext="Discard penultimate sigma",
        help="Leave out the last but one step of the schedule for every sampler.",
    )  # fmt: skip
    sgm_noise_multiplier: bool = param(
        False, label="SGM noise multiplier", infotext="SGM noise multiplier",
        help="Begin with slightly stronger noise, in the manner of Stability's generative-models.",
    )  # fmt: skip
    uni_pc_variant: str = param(
        "bh1", label="UniPC variant", infotext="UniPC variant", choices=("bh1", "bh2", "vary_coeff"),
        help="Which form of the predictor and corrector UniPC uses.",
    )  # fmt: skip
    uni_pc_skip_type: str = param(
        "time_uniform", label="UniPC skip type", infotext="UniPC skip type",
        choices=("time_uniform", "time_quadratic", "logSNR"), help="How UniPC spaces its steps.",
    )  # fmt: skip
    uni_pc_order: int = param(
        3, label="UniPC order", infotext="UniPC order", ge=1, le=50, slider=(1, 50), step=1,
        help="Order of UniPC; must be below the number of steps.",
    )  # fmt: skip
    uni_pc_lower_order_final: bool = param(
        True, label="UniPC lower order final", infotext="UniPC lower order final",
        help="Lower the order at the end of short runs.",
    )  # fmt: skip
    sd_noise_schedule: str = param(
        "Default", label="Noise schedule for sampling", infotext="Noise Schedule",
        choices=("Default", "Zero Terminal SNR"),
        help="Zero Terminal SNR lets pictures become fully dark or bright; for models trained for it.",
    )  # fmt: skip
    skip_early_cond: float = param(
        0.0, label="Ignore negative prompt during early sampling", infotext="Skip Early CFG", ge=0, le=1,
        slider=(0, 1), step=0.01, help="Share of the first steps that run without the negative prompt.",
    )  # fmt: skip
    cfg_rescale: float = param(
        0.0, label="Rescale CFG", infotext="CFG Rescale φ", ge=0, le=1, slider=(0, 1), step=0.05,
        help="Take back the contrast that a high CFG scale adds; 0.7 suits models for zero terminal SNR. 0 is off.",
    )  # fmt: skip
    beta_dist_alpha: float = param(
        0.6, label="Beta scheduler - alpha", infotext="Beta scheduler alpha", ge=0.01, le=10, slider=(0.01, 1),
        step=0.01, help="Shape of the Beta schedule towards its start.",
    )  # fmt: skip
    beta_dist_beta: float = param(
        0.6, label="Beta scheduler - beta", infotext="Beta scheduler beta", ge=0.01, le=10, slider=(0.01, 1),
        step=0.01, help="Shape of the Beta schedule towards its end.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Upscaling:
    """What enlarges pictures."""

    upscaler_for_img2img: str | None = param(
        None, label="Upscaler for img2img", choices="upscalers",
        help="Enlarges pictures that are smaller than the run, in img2img; None resizes them.",
    )  # fmt: skip
    set_scale_by_when_changing_upscaler: bool = param(
        False, label="Automatically set the Scale by factor based on the name of the selected Upscaler",
        help="In Extras, 4x-Name sets the factor to 4.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Postprocessing:
    """The steps of Extras, which may also run on every picture that is made."""

    postprocessing_enable_in_main_ui: tuple[str, ...] = param(
        (), label="Enable postprocessing operations in txt2img and img2img tabs", choices="main_steps",
        help="These steps are also offered where pictures are made, from the next start on.",
    )  # fmt: skip
    postprocessing_disable_in_extras: tuple[str, ...] = param(
        (), label="Disable postprocessing operations in extras tab", choices="extras_steps",
        help="These steps are not offered in Extras, from the next reload of the interface on.",
    )  # fmt: skip
    postprocessing_operation_order: tuple[str, ...] = param(
        (), label="Postprocessing operation order", choices="extras_steps",
        help="These steps run first, in this order, then the others in their own.",
    )  # fmt: skip
    upscaling_max_images_in_cache: int = param(
        5, label="Maximum number of images in upscaling cache", ge=0, le=100, slider=(0, 10), step=1,
        help="So many results of upscalers are kept, so that another run over the same picture need not wait for them.",
    )  # fmt: skip
    postprocessing_existing_caption_action: str = param(
        "Ignore", label="Action for existing captions", choices=("Ignore", "Keep", "Prepend", "Append"),
        help="A caption that is there already is replaced, kept, or put before or behind the new one.",
    )  # fmt: skip
    face_restoration_model: str = param(
        "CodeFormer", label="Face restoration model", infotext="Face restoration", choices="face_restorers",
        help="What restores faces where a request asks for it. The program brings none; extensions may.",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One page of the Settings tab."""

    name: str
    """Attribute of the snapshot."""
    cls: type
    id: str
    """A1111's section id, part of the page's element ids."""
    title: str
    category: str


SECTIONS = (
    Section(name="saving", cls=Saving, id="saving-images", title="Saving images/grids", category="Saving images"),
    Section(name="paths", cls=Paths, id="saving-paths", title="Paths for saving", category="Saving images"),
    Section(name="sd", cls=Sd, id="sd", title="Stable Diffusion", category="Stable Diffusion"),
    Section(name="sdxl", cls=Sdxl, id="sdxl", title="Stable Diffusion XL", category="Stable Diffusion"),
    Section(name="vae", cls=Vae, id="vae", title="VAE", category="Stable Diffusion"),
    Section(name="img2img", cls=Img2img, id="img2img", title="img2img", category="Stable Diffusion"),
    Section(name="sampler", cls=Sampler, id="sampler-params", title="Sampler parameters", category="Stable Diffusion"),
    Section(
        name="optimizations", cls=Optimizations, id="optimizations", title="Optimizations", category="Stable Diffusion"
    ),
    Section(
        name="compatibility", cls=Compatibility, id="compatibility", title="Compatibility", category="Stable Diffusion"
    ),
    Section(
        name="extra_networks",
        cls=ExtraNetworks,
        id="extra_networks",
        title="Extra Networks",
        category="Stable Diffusion",
    ),
    Section(name="ui", cls=Ui, id="ui", title="User interface", category="User Interface"),
    Section(name="previews", cls=Previews, id="ui_previews", title="Live previews", category="User Interface"),
    Section(name="infotext", cls=Infotext, id="infotext", title="Infotext", category="User Interface"),
    Section(name="upscaling", cls=Upscaling, id="upscaling", title="Upscaling", category="Postprocessing"),
    Section(
        name="postprocessing",
        cls=Postprocessing,
        id="postprocessing",
        title="Postprocessing",
        category="Postprocessing",
    ),
    Section(name="system", cls=System, id="system", title="System", category="System"),
    Section(name="api", cls=Api, id="API", title="API", category="System"),
)
"""All sections in the order of the Settings tab."""
