"""Addresses of S3 that cannot be meant."""

import pytest

from lesiongen.errors import UsageError
from lesiongen.storage import open_storage


def test_a_user_and_a_password_before_the_bucket_are_refused_and_not_repeated():
    with pytest.raises(UsageError, match="invalid bucket name … in an s3:// address") as refused:
        open_storage("s3://someone:not-a-real-one@lesiongen/x")
    assert "not-a-real-one" not in str(refused.value)


def test_a_name_that_no_bucket_can_have_is_refused():
    with pytest.raises(UsageError, match="invalid bucket name 'my bucket' in an s3:// address"):
        open_storage("s3://my bucket/x")
