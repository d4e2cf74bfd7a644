// wasi:logging/logging: lines on standard error.

export const logging = {
  log: (level, context, message) => console.error(`${level.toUpperCase()} ${context} ${message}`),
};
