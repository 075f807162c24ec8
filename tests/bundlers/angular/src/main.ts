import { Component, signal } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { VoiceClient } from "voxrelay";

// The calls that every app of these tests makes; they write what comes of them into the page.
import { call, rareCall } from "../call.js";

@Component({
  selector: "app-root",
  template: `
    <button id="call" (click)="start()">Call</button>
    <button id="rare" (click)="startRare()">A call as few are</button>
    <p id="said"></p>
    <p>{{ calls() }} calls</p>
  `,
})
class App {
  protected readonly calls = signal(0);

  protected start(): void {
    this.calls.update((calls) => calls + 1);
    void call(VoiceClient);
  }

  protected startRare(): void {
    this.calls.update((calls) => calls + 1);
    void rareCall(VoiceClient, () => import("voxrelay/preflight"));
  }
}

void bootstrapApplication(App);
