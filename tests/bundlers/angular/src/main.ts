import { Component, signal } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";
import { VoiceClient } from "voxrelay";

// The call that every app of these tests makes; it writes what was said into the page.
import { call } from "../call.js";

@Component({
  selector: "app-root",
  template: `<button id="call" (click)="start()">Call</button><p id="said"></p><p>{{ calls() }} calls</p>`,
})
class App {
  protected readonly calls = signal(0);

  protected start(): void {
    this.calls.update((calls) => calls + 1);
    void call(VoiceClient);
  }
}

void bootstrapApplication(App);
