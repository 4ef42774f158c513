// What several test files put on their pages or send.
import { Tab } from "./browser.mjs";

/** A picture of one pixel. */
export const PNG = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

/** What the embed code says: the address of the script, and its ids. */
export async function snippet(tenant) {
  const code = await tenant.embedCode();
  const [, src] = /src="([^"]+)"/.exec(code);
  const [, publicKey] = /data-public-key="([^"]+)"/.exec(code);
  return { code, src, tenantId: tenant.id, publicKey };
}

/** A page with two widgets of one tenant, and each of them. */
export async function sideBySide(stage, come, tenant) {
  const codes = [await tenant.embedCode(), await tenant.furtherEmbedCode("Second")];
  const { page } = await (await come()).visit(stage.put(codes.join("\n")));
  const tabs = [new Tab(page, { index: 0 }), new Tab(page, { index: 1 })];
  for (const tab of tabs) await tab.launcher.waitFor();
  return { codes, page, tabs };
}

/** What a page's head needs for Bootstrap. */
export function bootstrap(pages) {
  return `<link rel="stylesheet" href="${pages.library("bootstrap/dist/css/bootstrap.css")}">
    <script src="${pages.library("bootstrap/dist/js/bootstrap.bundle.js")}"></script>`;
}

/** An open Bootstrap modal, whose field has the focus; `isClosed` tells when it is closed. A router may run it again on each page. */
export const MODAL = `
  <div class="modal" id="dialog" tabindex="-1"><div class="modal-dialog"><div class="modal-content"><input id="field"></div></div></div>
  <script>
    {
      const dialog = document.getElementById("dialog");
      dialog.addEventListener("hidden.bs.modal", () => (window.isClosed = true));
      dialog.addEventListener("shown.bs.modal", () => document.getElementById("field").focus());
      new bootstrap.Modal(dialog).show();
    }
  </script>`;
