/** The version of this package, told to the server in the user agent. */
export const VERSION = "0.1.0";
