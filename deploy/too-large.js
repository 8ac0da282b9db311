// Body of API Gateway's own response to a request that is too large for the function, for front-rest.yml. It has the
// fields in which the clients of all interfaces look for an error.
const message = "The request is too large: its photos may have at most 4.5 MB in a form, or 3.3 MB as base64 in JSON.";

module.exports = () =>
  JSON.stringify({
    error: { code: "too_large", message },
    request_id: "$context.requestId",
    // Rekognition
    __type: "ImageTooLargeException",
    Message: message,
    // CompreFace
    code: 0,
    message,
  });
