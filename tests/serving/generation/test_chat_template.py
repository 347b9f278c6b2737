import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.generation.chat_template import ChatTemplate

CHATML = """{% for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA = """{% if messages[0]['role'] == 'system' %}
    {% set loop_messages = messages[1:] %}
    {% set system_message = messages[0]['content'] %}
{% else %}
    {% set loop_messages = messages %}
    {% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {% endif %}
    {% if loop.index0 == 0 and system_message %}
        {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {{ ' ' + content.strip() + ' ' + eos_token }}
    {% endif %}
{% endfor %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}
{{- raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""
MARKED = """{% for message in messages %}{% if message.role == 'assistant' %}{% generation %}{{ message.content
+ eos_token }}{% endgeneration %}{% else %}{{ '# ' + message.content + '\\n' }}{% endif %}{% if loop.index > 9 %}
{% break %}{% endif %}{% endfor %}{{ messages[0] | tojson }} {{ strftime_now('%Y') }}"""
TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "gemma": GEMMA, "marked": MARKED}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

ASK = {"role": "user", "content": " Wie geht's? <b>é</b> 你好 "}
SAY = {"role": "assistant", "content": "Gut,\n danke. "}
CHATS = {
    "one": [ASK],
    "three": [ASK, SAY, {"role": "user", "content": "{{ 7 * 7 }}"}],
    "system": [{"role": "system", "content": "Be brief."}, ASK],
}


@pytest.fixture(scope="module")
def theirs():
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


@pytest.mark.parametrize("ask", [True, False])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_it_renders_what_transformers_renders(theirs, name, chat, ask):
    if (name, chat) == ("gemma", "system"):
        pytest.skip("it knows no system role")
    template = ChatTemplate(TEMPLATES[name], SPECIAL)
    expected = theirs.apply_chat_template(
        CHATS[chat], chat_template=TEMPLATES[name], tokenize=False, add_generation_prompt=ask
    )
    assert expected
    assert template.render(CHATS[chat], ask=ask) == expected


@pytest.mark.parametrize("last", [SAY, {"role": "assistant", "content": "Gut"}])
@pytest.mark.parametrize("name", ["chatml", "llama", "gemma"])
def test_the_assistants_own_message_is_gone_on_with_as_in_transformers(theirs, name, last):
    template = ChatTemplate(TEMPLATES[name], SPECIAL)
    expected = theirs.apply_chat_template(
        [ASK, last], chat_template=TEMPLATES[name], tokenize=False, continue_final_message=True
    )
    assert template.prompt([ASK, last]) == expected
    assert template.prompt([ASK]) == template.render([ASK], ask=True)


def test_what_a_template_refuses_is_the_callers_fault():
    with pytest.raises(InputError) as caught:
        ChatTemplate(GEMMA, SPECIAL).render(CHATS["system"])
    assert str(caught.value) == "the chat template refuses these messages: System role not supported"


@pytest.mark.parametrize(
    "source",
    ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}", "{% include '/etc/passwd' %}"],
)
def test_a_template_reaches_nothing_but_the_messages(source):
    with pytest.raises(InputError, match=r"^the chat template refuses these messages: "):
        ChatTemplate(source, SPECIAL).render([ASK])


def test_a_broken_template_is_refused():
    with pytest.raises(BundleError, match=r"^the chat template is not one that Jinja reads: "):
        ChatTemplate("{% for %}", SPECIAL)


def test_a_huge_template_is_refused():
    with pytest.raises(BundleError) as caught:
        ChatTemplate("x" * 200_000, SPECIAL)
    assert str(caught.value) == "the chat template has 200,000 characters; at most 131,072 are read"


def test_a_message_that_the_template_leaves_out_cannot_be_gone_on_with():
    with pytest.raises(InputError) as caught:
        ChatTemplate("{{ messages[0].content }}", SPECIAL).prompt([ASK, SAY])
    assert str(caught.value) == "the chat template leaves out the last message, so that it cannot be gone on with"
