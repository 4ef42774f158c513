// Style sheets are imported as text; the build minifies them on the way in.
declare module "*.css" {
  const text: string;
  export default text;
}
