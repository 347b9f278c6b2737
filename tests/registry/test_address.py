"""What an address shows: never a password or a signature."""

import pytest

from tunewright.registry.address import shown_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:CANARY@host/a.csv?X-Amz-Signature=CANARY#CANARY", "https://***@host/a.csv?***"),
        ("https://host/a.csv#CANARY", "https://host/a.csv?***"),
        ("https://user:CAN/ARY@host/x", "https://***@host/x"),
        ("file://user:CANARY@host/x", "file://***@host/x"),
        ("s3://KEY:CANARY@bucket/x", "s3://***@bucket/x"),
        ("s3://KEY:CAN/ARY@bucket/x", "s3://***@bucket/x"),
        ("s3://bucket/x?X-Amz-Signature=CANARY", "s3://bucket/x?***"),
        ("S3://KEY:CANARY@bucket/x", "S3://***@bucket/x"),
        ("https://user name:CANARY@ho st:9", "https://***@ho st:9"),
    ],
)
def test_what_only_its_owner_may_know_is_left_out(address, shown):
    assert shown_address(address) == shown


@pytest.mark.parametrize(
    "address",
    [
        "s3://bucket/part-?.csv",
        "s3://bucket/icon@2x/#1.png",
        "hf://org/set@v1:en/train",
        "models:/reviews@production",
        "a?b#c@d",
        "",
        "http://h:1/b",
    ],
)
def test_the_rest_is_shown_as_it_is(address):
    assert shown_address(address) == address
