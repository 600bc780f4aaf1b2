// Passkeys: asks the device for one, or to make one, and sends what it says as the form that stands there. Without this script the other ways remain.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (some) => (some ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

  // By hand and not by parseRequestOptionsFromJSON: towns' browsers are older than 2024.
  const read = {
    get: (q) => ({ ...q, challenge: bytes(q.challenge), allowCredentials: listed(q.allowCredentials) }),
    create: (q) => ({ ...q, challenge: bytes(q.challenge), user: { ...q.user, id: bytes(q.user.id) }, excludeCredentials: listed(q.excludeCredentials) }),
  };

  function said(made) {
    const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
    const response = Object.fromEntries(parts.filter((part) => made.response[part]).map((part) => [part, text(made.response[part])]));
    if (made.response.getTransports) response.transports = made.response.getTransports();
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response, clientExtensionResults: {} });
  }

  function worked(now) {
    try {
      if (now) localStorage.setItem("passkey", "1");
      return localStorage.getItem("passkey");
    } catch { return null; } // a browser that keeps nothing
  }

  async function ask(form) {
    const fields = new URLSearchParams([...new FormData(form)].filter(([name]) => name === "csrftoken" || name === "as"));
    const answer = await fetch(form.dataset.question, { method: "POST", body: fields, redirect: "error" });
    if (!answer.ok) throw new Error(answer.status);
    const how = form.dataset.passkey;
    return navigator.credentials[how]({ publicKey: read[how](await answer.json()) });
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential || !navigator.credentials) continue;
    form.hidden = false;
    const button = form.querySelector("button");
    // The one filled button is what has worked here before: whoever has no passkey yet is not led to a device that asks for one.
    if (form.dataset.passkey === "get" && worked()) {
      document.querySelectorAll("[data-main]").forEach((other) => other.classList.remove("primary"));
      button.classList.add("primary");
    }
    const wrong = form.querySelector("[data-wrong]");
    // First of all listeners: the page's own would show the button as busy before there is anything to send.
    form.addEventListener("submit", async (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      wrong.hidden = true;
      try {
        form.elements.credential.value = said(await ask(form));
        worked(true);
        form.requestSubmit(button);
      } catch {
        form.elements.credential.value = "";
        wrong.hidden = false;
        if (form.dataset.passkey === "get") document.querySelector(".ways")?.setAttribute("open", "");
      }
    }, { capture: true });
  }

  const onward = document.querySelector("a[data-onward]");
  if (onward) location.assign(onward.href);
})();
