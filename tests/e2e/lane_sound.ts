// The entry of the bundle that test_lane_sound.py runs in a browser: a lane of the review alone, and the page around it.
import "../../console/web/src/pages/visit.ts";
import { installDebugHook } from "../../console/web/src/core/debug.ts";
import { store } from "../../console/web/src/core/session.ts";
import { CameraLane } from "../../console/web/src/review/lane.ts";
import { MasterClock } from "../../console/web/src/review/master.ts";
import type { Purpose, Session, TimelineCamera } from "../../console/web/src/core/types.ts";

const review = (camera: TimelineCamera, t0: number, t1: number): unknown => {
  const master = new MasterClock(t0, t1);
  const lane = new CameraLane(camera, master);
  document.body.append(lane.video);
  lane.open();
  const step = (): void => {
    master.tick();
    lane.step();
    master.hold(lane.waiting);
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
  return { lane, master };
};

const visitPage = (session: Session, purpose: Purpose): void => {
  installDebugHook();
  store.adopt(session);
  store.setPurpose(purpose);
  const page = document.createElement("page-visit");
  Object.assign(page, { case: "1", visit: "2" });
  document.body.append(page);
};

Object.assign(window, { review, visitPage });
