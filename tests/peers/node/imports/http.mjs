// wasi:http/types: the shim's, but for one thing. Asked for the code of a body that broke off, the shim gives Node's own error,
// which is no case of `error-code`, and the translated component stops there. No code is a valid answer.

export const types = (shim) => ({
  ...shim,
  httpErrorCode(error) {
    const code = shim.httpErrorCode(error);
    return typeof code?.tag === 'string' ? code : undefined;
  },
});
