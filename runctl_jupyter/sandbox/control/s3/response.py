"""S3's answers where moto's say something that is not so."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.s3.responses import S3Response


class SandboxS3Response(S3Response):  # type: ignore[misc]
    """Uploads in parts were begun when they were, and not in 2010."""

    def serialized(self, action_result: ActionResult) -> Any:
        """Write an answer; that of ListMultipartUploads with the times of the uploads."""
        told: Any = action_result.result
        if isinstance(told, dict) and "Uploads" in told:
            begun = self.backend.list_multipart_uploads(self.bucket_name)
            for each in told["Uploads"]:
                each["Initiated"] = begun[each["UploadId"]].initiated
        return super().serialized(action_result)
