// What the build makes of files that are no scripts.

/** A style sheet, minified. */
declare module "*.css" {
  const text: string;
  export default text;
}
