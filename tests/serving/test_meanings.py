"""What fields mean is read from the source when somebody asks."""

from pydantic import BaseModel

from tunewright.serving.meanings import described


class Wheel(BaseModel):
    """A part."""

    inches: int = 26
    """How large
    it is."""


class Bicycle(BaseModel):
    """The whole."""

    wheels: dict[str, Wheel | None] = {}
    """By place."""
    bell: bool = True


def test_fields_and_those_of_the_models_in_them_are_described_by_what_stands_below():
    schema = described(Bicycle).model_json_schema()
    assert schema["properties"]["wheels"]["description"] == "By place."
    assert schema["$defs"]["Wheel"]["properties"]["inches"]["description"] == "How large\nit is."
    assert "description" not in schema["properties"]["bell"]
    assert Bicycle(wheels={"front": {"inches": 28}}).wheels["front"] == Wheel(inches=28)
