"""Transformers models with random weights: attention rebuilt from the trace is what the output projections read."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
L = 17


def tokens(batch=1, length=L):
    return torch.randint(3, 50, (batch, length))


def pixels():
    return torch.randn(1, 3, 16, 16)


def llama():
    config = transformers.LlamaConfig(vocab_size=50, num_key_value_heads=2, **WIDTHS)
    return transformers.LlamaModel(config), {"input_ids": tokens()}, ("o_proj",)


def qwen3():
    config = transformers.Qwen3Config(vocab_size=50, num_key_value_heads=2, head_dim=16, **WIDTHS)
    return transformers.Qwen3Model(config), {"input_ids": tokens()}, ("o_proj",)


def mistral():
    config = transformers.MistralConfig(vocab_size=50, num_key_value_heads=2, sliding_window=5, **WIDTHS)
    return transformers.MistralModel(config), {"input_ids": tokens()}, ("o_proj",)


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=50,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=2,
        scale_attn_by_inverse_layer_idx=True,
    )
    return transformers.GPT2Model(config), {"input_ids": tokens()}, ("attn.c_proj",)


def bert():
    return transformers.BertModel(transformers.BertConfig(vocab_size=50, **WIDTHS)), {"input_ids": tokens()}, BERT


BERT = ("attention.output.dense",)


def vit():
    config = transformers.ViTConfig(image_size=16, patch_size=4, **WIDTHS)
    return transformers.ViTModel(config), {"pixel_values": pixels()}, ("attention.o_proj",)


def dinov2():
    config = transformers.Dinov2Config(image_size=16, patch_size=4, **WIDTHS)
    return transformers.Dinov2Model(config), {"pixel_values": pixels()}, ("attention.output.dense", "attention.o_proj")


def t5():
    config = transformers.T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    inputs = {"input_ids": tokens(), "decoder_input_ids": tokens(length=9)}
    return transformers.T5Model(config), inputs, ("Attention.o",)


def whisper():
    sides = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in WHISPER.items()}
    config = transformers.WhisperConfig(
        vocab_size=50,
        d_model=32,
        max_source_positions=20,
        num_mel_bins=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        **sides,
    )
    inputs = {"input_features": torch.randn(1, 8, 40), "decoder_input_ids": tokens(length=9)}
    return transformers.WhisperModel(config), inputs, ("attn.out_proj",)


WHISPER = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}

MODELS = (llama, qwen3, mistral, gpt2, bert, vit, dinov2, t5, whisper)


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def family(request):
    torch.manual_seed(0)
    model, inputs, projections = request.param()
    # weights of 0.02 would make every probability equal, and any mask or scale look right
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
    return model.eval(), inputs, projections


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_rebuilt_attention_is_the_model_s_own(family, implementation, dtype, check_against_modules):
    model, inputs, projections = family
    model.set_attn_implementation(implementation)
    check_against_modules(model, inputs, projections, dtype)
